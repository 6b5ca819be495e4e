#!/bin/bash
# Runs a scenario under Slurm and queues the job again until the run is finished. More arguments go to the command.
#     sbatch slurm.sh scenario.yaml runs/mine                            one node
#     sbatch --nodes=4 slurm.sh scenario.yaml runs/mine                  a Ray cluster; executor: {kind: ray, ...}
#     sbatch --array=0-29 slurm.sh scenario.yaml runs/sweep --seeds 30   the parts of a sweep, one node each
#SBATCH --job-name=society
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
set -euo pipefail

usage="usage: sbatch slurm.sh SCENARIO OUT [OPTION...]"
scenario=${1:?$usage}
out=${2:?$usage}
shift 2
say() { echo "slurm.sh: $*" >&2; }

task=${SLURM_ARRAY_TASK_ID:-}
job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${task:+_$task} # one task alone: the array's number names all of them
cpus=${SLURM_CPUS_PER_TASK:-1}
export RAY_TMPDIR=/tmp/society-$SLURM_JOB_ID RAY_USAGE_STATS_ENABLED=0
process=$(mktemp)
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# A step may share the processors and GPUs of others.
on() { srun --overlap --mpi=none --nodes=1 --ntasks=1 --cpus-per-task="$cpus" --nodelist="$1" "${@:2}"; }

# Slurm announces the time limit to this script alone, and a preemption to its steps or, by `send_user_signal`, likewise
# to this script. The run is a step. It stops at SIGTERM, within --grace seconds.
began=
signalled=false
too_late=false
# shellcheck disable=SC2317  # a trap calls it
stop() {
    signalled=true
    if [[ -z $began || $SECONDS -lt $((began + 10)) ]] && [[ $(scontrol show job --oneliner "$job") == *PreemptTime=None* ]]; then
        too_late=true
    fi
    if [ -s "$process" ]; then kill -TERM "$(<"$process")" || true; fi
    if [ -z "$began" ]; then end 143; fi
}

end() {
    trap '' USR1 TERM
    keep_logs
    rm -f "$process"
    case $1 in
    4 | 129 | 130 | 143) # the run is not finished, and can go on
        if $too_late; then
            say "The time limit leaves the run less than ten seconds. Raise --time, or lower the number in --signal."
        elif [[ $(scontrol show job --oneliner "$job") == *JobState=RUNNING* ]]; then # not after scancel
            say "The run is not finished; the job is queued again."
            trap - TERM
            # Slurm ends this script. If it ended by itself, Slurm might take the job for a failed one.
            if scontrol requeue "$job"; then sleep 60; fi
        fi
        ;;
    esac
    exit "$1"
}

# Ray writes its logs on the node. The last copy of each is kept beside the run.
keep_logs() {
    local here=()
    if [ "${#nodes[@]}" -gt 1 ]; then here=(srun --overlap --mpi=none --ntasks-per-node=1); fi
    # shellcheck disable=SC2016  # expanded on each node
    "${here[@]}" bash -c '
        if [ -d "$RAY_TMPDIR/ray" ]; then
            mkdir -p "$0/$SLURMD_NODENAME"
            cp -r "$RAY_TMPDIR"/ray/session_latest/logs/. "$0/$SLURMD_NODENAME"
            rm -rf "$RAY_TMPDIR"
        fi' "${out%/}-ray-logs/$job" || say "Logs of Ray could not be copied."
}

# Nodes join a head that answers. The run compares its needs with what the cluster has, so all of them come first.
start_cluster() {
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
    RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    local port=$((20000 + SLURM_JOB_ID % 20000)) node
    local head=${nodes[0]}
    address=$(address_of "$head"):$port
    start_ray 1 "$head" --head --port="$port" --include-dashboard=false
    wait_for 1
    for node in "${nodes[@]:1}"; do start_ray 3 "$node" --address="$address"; done
    wait_for "${#nodes[@]}"
}

address_of() { on "$1" hostname --ip-address | awk '{print $1}'; }

# Starts Ray on a node, again where it fails or dies, up to so many times. A node that joins again is used again.
steps=()
start_ray() {
    local times=$1 node=$2 own gpus=${SLURM_GPUS_ON_NODE:-0}
    own=$(address_of "$node")
    for ((try = 1; try <= times; try++)); do
        on "$node" ray start "${@:3}" --node-ip-address="$own" --num-cpus="$cpus" --num-gpus="$gpus" --block || true
        say "The Ray process on $node ended ($try of at most $times)."
    done &
    steps+=($!)
}

wait_for() {
    until [ "$(ray status --address="$address" 2>/dev/null | sed '/^Resources/,$d' | grep -c ' node_')" -ge "$1" ]; do
        for step in "${steps[@]}"; do
            if ! kill -0 "$step" 2>/dev/null; then
                say "A node did not join the Ray cluster, so the run does not begin."
                end 3
            fi
        done
        sleep 2
    done
}

trap stop USR1
trap 'signalled=true' TERM # scancel: the run is told by Slurm
options=(--grace 20) # the SIGKILL comes after KillWait, 30 seconds by default
if [ "${#nodes[@]}" -gt 1 ]; then
    start_cluster
    options+=(--set "executor.address=$address")
fi
command=(society run "$scenario")
if [ -e "$out/store.sqlite" ] || [ -e "$out/.lock" ]; then command+=(--resume); fi
if [ -n "$task" ]; then
    if [ "$SLURM_ARRAY_TASK_MIN-$SLURM_ARRAY_TASK_MAX" != "0-$((SLURM_ARRAY_TASK_COUNT - 1))" ]; then
        say "Number the tasks from 0 without gaps, such as --array=0-29. A finished part ends at once."
        exit 2
    fi
    command=(society sweep "$scenario" --index "$task" --of "$SLURM_ARRAY_TASK_COUNT")
fi
began=$SECONDS
# shellcheck disable=SC2016
on "${nodes[0]}" bash -c 'echo $$ >"$0"; exec "$@"' "$process" "${command[@]}" --out "$out" "${options[@]}" "$@" &
run=$!
signalled=true
while $signalled; do # a signal ends `wait`, but not the run
    signalled=false
    status=0
    wait "$run" || status=$?
done
end "$status"
