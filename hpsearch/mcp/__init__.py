"""`hpsearch mcp`: the commands as tools of the Model Context Protocol, for agents.

`agent_server` serves the tools of `agent_tools`, which call the functions of the commands. A study
runs in a process of its own (`study_process`), within a budget (`spend_limits`). Study files are
confined to a folder (`confinement`), and no answer has a score on locked rows.
"""
