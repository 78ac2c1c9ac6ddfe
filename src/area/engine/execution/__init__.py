"""From a job to recorded outcomes. A worker passes through these modules in this order:

1. `executor` claims a job, reads its executions, and leaves out those that are over.
2. `attempt` refuses an execution, makes it wait, or calls its reaction.
3. `outcome` decides how it continues: finished, or waiting with its own job.
4. `followers` finds the runs of a chain that the outcome leads to.
5. `recorder` writes the outcomes that arrive together, and those runs, in one transaction.

`running` holds the worker's state of each execution, and `fairness` shares the worker's slots among users.
"""
