"""Money: what tasks on a device cost, what an experiment will take, and what was paid for.

=============== ====================================================================
``prices``      a dated table of prices, and money as text
``execution``   what is paid for: an execution, known by its content, and its result
``storage``     the ledger's file: its schema, transactions, and errors in words
``entries``     a row of the ledger, the sum of all, and the limits that it is held to
``ledger``      the ledger: reservations, tokens, results with checksums
``lost_tasks``  tasks whose results are wrong, or never appear
``spent``       what a checkpoint knows of the ledger
``budget``      the options of an experiment's ``budget:``
``account``     what every execution that costs money goes through
``amounts``     tasks, shots and money as one quantity, and bounds on it
``rehearsal``   a step or an evaluation, counted task by task before anything is sent
``solves``      how much longer a solve may take than the shortest one
``bills``       steps and evaluations put together as a run puts them together
``estimate``    what an experiment takes, by the cheaper way
=============== ====================================================================

From ``rehearsal`` on it knows of models and training; what comes before knows of neither.
"""
