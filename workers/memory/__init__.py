"""Memory of the stages: what a machine has, what a stage will take, and settings that take less."""
