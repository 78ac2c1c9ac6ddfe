"""From a job to recorded outcomes. A worker goes through these rooms, in this order:

1. `executor` claims a job, reads which executions it stands for, and leaves out what is over.
2. `attempt` refuses an execution, has it wait, or calls its reaction.
3. `outcome` decides what became of it: over, or waiting with a job of its own.
4. `recorder` writes the outcomes that come together in one transaction.

`running` is what the worker remembers of each execution meanwhile, and `fairness` shares its slots among users.
"""
