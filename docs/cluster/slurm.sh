#!/bin/bash
# A society on several machines under Slurm: a Ray head on the first, workers on the others, the run beside the head.
#     sbatch docs/cluster/slurm.sh scenario.yaml runs/mine
#SBATCH --job-name=society
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
set -euo pipefail

scenario=${1:?usage: sbatch slurm.sh SCENARIO OUT}
out=${2:?usage: sbatch slurm.sh SCENARIO OUT}
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_TOKEN

# Before the time limit the run finishes what is being said, and the job is queued again. It then goes on where it was,
# as it does when Slurm queues it again because a machine failed.
run=
again=false
near_the_limit() {
    again=true
    if [ -n "$run" ]; then kill -TERM "$run" || true; else scontrol requeue "$SLURM_JOB_ID"; fi
}
trap near_the_limit USR1

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address_of() { srun --nodes=1 --ntasks=1 --nodelist="$1" hostname --ip-address | awk '{print $1}'; }
address=$(address_of "$head"):$port

start() {
    srun --nodes=1 --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" --nodelist="$1" \
        ray start "${@:2}" --node-ip-address="$(address_of "$1")" \
        --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --block &
    steps+=($!)
}

steps=()
start "$head" --head --port="$port" --include-dashboard=false
for node in "${nodes[@]:1}"; do
    start "$node" --address="$address"
done

# All machines must be there: the run looks at what the cluster has before it begins.
count() { ray status --address="$address" 2>/dev/null | sed '/^Resources/,$d' | grep -c ' node_' || true; }
until [ "$(count)" -ge "${#nodes[@]}" ]; do
    for step in "${steps[@]}"; do kill -0 "$step"; done
    sleep 5
done

resume=()
if [ -e "$out/store.sqlite" ]; then
    resume=(--resume)
fi
society run "$scenario" --out "$out" "${resume[@]}" --set "executor.address=$address" &
run=$!
status=0
wait "$run" || status=$?
if $again; then
    status=0
    wait "$run" || status=$?  # the first one ended with the signal
    case $status in
    0 | 2 | 3 | 5) ;; # finished, or a wrong input, an error or a limit that would be met again
    *) scontrol requeue "$SLURM_JOB_ID" ;;
    esac
fi
exit "$status"
