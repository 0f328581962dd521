"""Training: trajectories made, filtered, written and learned from (paper, section 3.4).

    examples.py     Example: one conversation to learn from, rebuilt from a trace
    teachers/       who writes trajectories: the oracle of the small-detail world, the evidence agent, any chat model
    filtering.py    which trajectories are fit to be learned from, and why the others are not
    truths.py       what is true of a window of the small-detail world, in words
    sharegpt.py     examples as files, in the format of the released data; parquet.py: rows for rewards and evaluation
    config.py       settings from TOML, for every stage; sources.py: which topics of which task
    trajectories.py task, teacher and filter to examples in memory; synthesis.py: the same to a folder
    rows.py         examples to rows of tokens, as serving reads them; which of them are trained
    sft.py          stage I on TRL (trainer.py, weights.py, progress.py, curves.py, samples.py around it)
    rollouts.py     a checkpoint sampled through the product's episodes; rejection.py: which rollouts are kept
    rsft.py         stage II: rollouts, rejection, stage I's training again
    rewards/        what a rollout is worth, by name
    eapo.py         stage III on TRL's GRPOTrainer; grpo/: rollouts as tokens, who draws them, which queries are asked
    checkpoint.py   what a trained folder says of itself
    rewards/        what a rollout is worth: the paper's, the released code's, ours
    grpo/, eapo.py  stage III on TRL; verl/: the same rollouts and rewards in verl
    nano/           a small model of our own, from nothing

A teacher gives a `Policy`, and trajectories come from the product's own reranker and episode run with it: what is
trained is what is served. For examples in memory, without any file:

    from vretrver.training.trajectories import Recipe, trajectories
    from vretrver.training.teachers import load_teacher

    for example in trajectories(task, load_teacher("oracle"), Recipe(tools="compare_crops"), seed=0):
        example.messages   # system, user, assistant, user (pictures), ..., assistant; the assistant's turns are trained

Importing this package loads none of it.
"""
