"""Stage III in verl, for who outgrows one machine: the same episode, tools, tokens and rewards as an agent loop of its.

    settings.py    what the loop is told, in its YAML file
    playing.py     one rollout: the product's episode and its tape, fed with tokens; knows nothing of verl
    groups.py      a group's rollouts wait for one another, for rewards compare them
    agent_loop.py  verl's AgentLoopBase around these; the only module that imports verl

verl's own tool loop (`BaseTool`, `tool_agent`) was weighed and not taken: it writes observations as `tool` turns in
another wording, its schema drops what stands inside an array (the crops of compare_crops), it reads no call that is not
in its own format, and a reward hears only the decoded text. What is trained would not be what is served.

runs/verl/ has the configuration, and says what was run. Importing this package loads none of it.
"""
