#!/bin/bash
# PID 1 of a test bed, in a PID and a mount namespace of its own: makes the networks, then obeys one line of shell at a
# time from stdin, answering "<output>\n@@<status>\n". bash, because it also reaps orphans.
#
# usage: init.sh DIR NAME
set -u
dir=$1
name=$2
net=192.168.77

# --- a root file system on which the daemons leave no trace -----------------------------------------------------------
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
[ -d /opt ] && mount -t tmpfs tmpfs /opt                        # containerd makes /opt/containerd
[ -d /etc/docker ] && mount -t tmpfs tmpfs /etc/docker          # the machine's own daemon.json and certs.d
[ -d /etc/containerd ] && mount -t tmpfs tmpfs /etc/containerd
[ -d /sys/kernel/security ] && mount -t tmpfs tmpfs /sys/kernel/security # no AppArmor profile is loaded
echo "# nothing resolves in a test bed" >"$dir/resolv.conf"
[ -e /etc/resolv.conf ] && mount --bind "$dir/resolv.conf" "$(readlink -f /etc/resolv.conf)" 2>/dev/null
mount --bind /proc/sys/kernel /proc/sys/kernel && mount -o remount,ro,bind /proc/sys/kernel # dockerd raises key limits
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TMPDIR http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
export HOME=$dir/home
mkdir -p "$HOME"

# --- a switch: the bridge's namespace is also everybody's router to nowhere ---------------------------------------------
fail() { echo "bed: $*"; exit 1; }
ip netns add sw || fail "no network namespace"
ip -n sw link set lo up
ip -n sw link add br0 type bridge || fail "no bridge"
ip -n sw addr add $net.1/24 dev br0
ip -n sw link set br0 up
ip -n sw route add unreachable default
nsenter --net=/run/netns/sw /bin/sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

# add_host NAME ADDRESS: a namespace with eth0 on the bridge. Neither end of the pair is ever in the root namespace.
add_host() {
  ip netns add "$1" && ip -n sw link add "v$1" type veth peer name eth0 netns "$1" || fail "no veth for $1"
  ip -n sw link set "v$1" master br0 up
  ip -n "$1" link set lo up
  ip -n "$1" addr add "$2/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via $net.1
}

# gone PID...: waits (5 s) until these processes have ended, then kills what is left
gone() {
  local pid i
  for pid in "$@"; do
    for ((i = 0; i < 250; i++)); do kill -0 "$pid" 2>/dev/null || continue 2; sleep 0.02; done
    kill -9 "$pid" 2>/dev/null
  done
}

# --- nodes ------------------------------------------------------------------------------------------------------------
# node_up NAME [DOCKERD OPTION...]
node_up() {
  local n=$1 d=$dir/$1
  shift
  mkdir -p "$d"
  # Left behind by kill -9; with them dockerd refuses to start.
  rm -f "$d/docker.pid" "$d/docker.sock" "$d/exec/containerd/containerd.pid"
  nsenter --net="/run/netns/$n" unshare --uts /bin/sh -c 'hostname "$0"; exec "$@"' "$n" \
    dockerd --config-file "$dir/daemon.json" --data-root "$d/data" --exec-root "$d/exec" \
    -H "unix://$d/docker.sock" -G root --pidfile "$d/docker.pid" --insecure-registry $net.0/24 \
    --cgroup-parent "/$name/$n" --exec-opt native.cgroupdriver=cgroupfs --shutdown-timeout 3 "$@" \
    >>"$d/dockerd.log" 2>&1 </dev/null &
  echo $! >"$d/pid"
}

# node_down NAME SIGNAL: ends dockerd; its containers run on after KILL, as after a crash of the daemon
node_down() {
  local pid
  pid=$(cat "$dir/$1/pid")
  kill -"$2" "$pid" && gone "$pid"
}

# node_crash NAME: ends the whole host at once: dockerd, containerd, shims, containers
node_crash() {
  local pid p round
  pid=$(cat "$dir/$1/pid")
  kill -9 "$pid" 2>/dev/null
  for round in 1 2 3; do
    for p in /proc/[0-9]*; do
      [ "${p#/proc/}" = 1 ] && continue
      if grep -qs "/$name/$1/" "$p/cgroup" || tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -qF "$dir/$1/"; then
        kill -9 "${p#/proc/}" 2>/dev/null
      fi
    done
    sleep 0.05
  done
  gone "$pid"
}

# --- registries: one storage, several doors ---------------------------------------------------------------------------
# registry_up DOOR NAMESPACE|-
registry_up() {
  local enter=()
  [ "$2" = - ] || enter=(nsenter --net="/run/netns/$2")
  "${enter[@]}" docker-registry serve "$dir/$1.yml" >>"$dir/$1.log" 2>&1 </dev/null &
  echo $! >"$dir/$1.pid"
}

registry_down() {
  local pid
  pid=$(cat "$dir/$1.pid")
  kill -9 "$pid" 2>/dev/null
  gone "$pid"
}

# --- the loop ---------------------------------------------------------------------------------------------------------
printf 'ready\n@@0\n'
while IFS= read -r line; do
  eval "$line" </dev/null 2>&1
  printf '\n@@%d\n' $?
done
