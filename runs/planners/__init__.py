"""What ranking fifty candidates costs and brings, by schedule: ours, the paper's, and other rerankers, in one run.

`python -m runs.planners` measures, `docs/planners.md` says what was found. Nothing here is part of the product.
"""
