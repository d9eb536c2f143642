"""How good a map or its labels are: measured against a true map, on patches and on whole sites."""
