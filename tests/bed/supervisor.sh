#!/bin/bash
# Runs one test bed and clears it away: whatever ends the bed (its test, a panic, kill -9 of the test process), the
# pipe on stdin closes, the bed's PID 1 goes, the kernel ends every process in the bed's PID namespace and drops its
# mounts and networks, and this script removes what is left: empty cgroups and files.
#
# usage: supervisor.sh DIR NAME
set -u
dir=$1
name=$2
trap '' INT TERM HUP PIPE

unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc \
  /bin/bash "$dir/init.sh" "$dir" "$name"

# A cgroup can be busy for a moment after its last process has gone.
for _ in $(seq 100); do
  find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} + 2>/dev/null
  [ -z "$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$name" 2>/dev/null)" ] && break
  sleep 0.05
done
if [ -n "${SKEP_BED_KEEP:-}" ]; then
  rm -rf "$dir"/n*/data "$dir"/n*/exec "$dir/registry"
else
  rm -rf "$dir"
fi
