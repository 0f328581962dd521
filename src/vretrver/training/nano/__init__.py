"""The nano agent: a vision-language model of a few million numbers that looks and chooses in the small-detail world.

    tower.py         the vision tower: pretrained early layers, frozen, and two stages of our own
    architecture.py  the model and its processor, stock classes alone; tokenizer.py: their tokens
    close_ups.py     tags close up; thumbnails.py: scenes and where the tag is; maps.py: what the tower makes of them
    eye.py           what the eye is asked, and its exam
    features.py      stored pictures as the frozen eye sees them; questions.py: questions made from them, as tokens
    episodes.py      what a perfect agent says
    forward.py       the text model's forward pass, quick on a CPU; language.py: the loss on what the agent writes
    probes.py        what middle layers are asked while they learn; schooling.py: the courses

`runs/nano` goes from nothing to a model; docs/nano.md says what came of it.
"""
