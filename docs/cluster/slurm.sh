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
set -euo pipefail

scenario=${1:?usage: sbatch slurm.sh SCENARIO OUT}
out=${2:?usage: sbatch slurm.sh SCENARIO OUT}
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$port" --include-dashboard=false \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$SLURM_GPUS_ON_NODE" --block &
head_step=$!

for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --nodelist="$node" \
        ray start --address="$address:$port" \
        --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$SLURM_GPUS_ON_NODE" --block &
done

until ray health-check --address="$address:$port"; do
    kill -0 "$head_step"
    sleep 5
done

# Requeued after the time limit or a failure of the head, it goes on where it was.
resume=()
if [ -e "$out/store.sqlite" ]; then
    resume=(--resume)
fi
society run "$scenario" --out "$out" "${resume[@]}" --set "executor.address=$address:$port"
