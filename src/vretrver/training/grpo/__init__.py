"""Group-relative policy optimisation on the product's own episodes, around TRL's GRPOTrainer (`training.eapo` uses it).

    settings.py    what can be set
    exercises.py   queries with their candidates and their truth
    tapes.py       an episode as tokens: what was read, what was drawn
    pixels.py      pictures to tensors, each once
    writers.py     who draws the tokens: transformers, or vLLM through TRL
    rollouts.py    groups of episodes advanced together, and their rewards
    practice.py    what a step plays, trains and keeps
    difficulty.py  which queries are asked next
    figures.py     what a step's rollouts come to; record.py: the rollouts as trace files
    trainer.py     TRL's version and arguments; rollout_trainer.py: its GRPOTrainer with pictures, and on which of its
                   inner parts this stands

Importing this package loads none of it.
"""
