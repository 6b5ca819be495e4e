"""Where a scenario's models run: `base` is the seam, `local` this process, `cluster` the machines of a Ray cluster.

The engine, the store and the answers' parsing stay in the process that was started; an executor only decides where
backends are opened, where finetunings happen, and how many of them, and of a sweep's runs, go side by side.

    base        Executor and its configuration, Needs
    local       this process
    cluster     the scenario's words for Ray, and the check of what the cluster has
    joining     this process in the cluster, or in one that it starts
    remote      a backend whose work is done elsewhere
    pool        replicas of one backend: asked evenly, replaced when they die
    mail        requests and answers on their way to and from one replica, many together
    calls       Ray's calls awaited, its errors told apart
    replica     one of them, in its Ray worker
    finetune    a training, as a Ray task and as its caller sees it
    scratch     the folders of workers, also of those that were killed
    parcels     files on their way between machines
"""

EXECUTORS = {"local": "society.executors.local:Local", "ray": "society.executors.cluster:Ray"}
"""The built-in executors by kind."""
