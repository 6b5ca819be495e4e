"""Executors run a scenario's models: in this process, or on the machines of a Ray cluster.

The engine, the store and the parsing of answers stay in the process that was started. An executor decides where
backends are opened and finetunings run, and how many finetunings and runs of a sweep run at the same time.

    base                the seam: Executor, ExecutorConfig, Needs
    local               this process
    cluster             the scenario's settings for Ray, and the check of the cluster's resources
    cluster_connection  joins a cluster, or starts one
    remote              a backend whose work is done by replicas
    pool                replicas of one backend: load balancing and replacement
    request_batches     requests to a replica and their answers, batched into Ray calls
    ray_calls           awaited Ray calls and their errors
    replica             one replica, in its Ray worker
    finetune            a finetuning as a Ray task, and the trainer that starts it
    scratch             temporary folders of workers, also of killed ones
    file_transfer       files in chunks between machines
"""

EXECUTORS = {"local": "society.executors.local:Local", "ray": "society.executors.cluster:Ray"}
"""Built-in executors by kind."""
