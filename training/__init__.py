"""Training of models, stage by stage: what stands here imports recon and vectorize, and neither imports it."""
