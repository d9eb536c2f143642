"""The stages of the jobs, one a module: read the parents, call the domain, leave a sealed folder.

Only a worker process imports them: torch, numba and OpenCV stay out of the API and the executor. What a stage
imports is its cache identity (`workers.stage_key`), so a module here imports what its own stage needs and no more.
"""
