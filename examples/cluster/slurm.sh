#!/bin/bash
# usage: sbatch --nodes=4 --gpus-per-node=8 --cpus-per-task=64 slurm.sh campaign.yaml
# A Ray cluster of the job's nodes, and a search on it; `workers: {backend: ray, min: 1, max: 64, address: auto}` in the
# campaign. Submit it again to go on: the run directory is the same.
#SBATCH --job-name=evomerge
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:TERM@300
set -eu
export RAY_AUTH_MODE=token # others on the nodes stay out; the token is in ~/.ray, which all nodes share
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_ADDRESS="$(srun --overlap -N 1 -n 1 -w "$head" hostname -I | cut -d ' ' -f 1):6379"
start=(--num-cpus="${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" --disable-usage-stats --block)

srun --overlap -N 1 -n 1 -w "$head" ray start --head --port=6379 "${start[@]}" &
until ray status --address="$RAY_ADDRESS" > /dev/null 2>&1; do sleep 2; done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --overlap -N $((SLURM_JOB_NUM_NODES - 1)) -n $((SLURM_JOB_NUM_NODES - 1)) -x "$head" \
        ray start --address="$RAY_ADDRESS" "${start[@]}" &
fi

# What Slurm sends five minutes before the end lets candidates finish that are running, and saves everything. Ray on the
# nodes ends with the job.
evomerge run "$1" & search=$!
trap 'kill -TERM $search' TERM
code=0
wait $search || { code=$?; wait $search || code=$?; }
exit $code
