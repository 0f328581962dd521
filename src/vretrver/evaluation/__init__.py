"""Evaluation: tasks through the product's own road, and what reranking did to them. `evaluate` is the entrance."""
