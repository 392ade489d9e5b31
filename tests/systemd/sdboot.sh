#!/bin/bash
# Boot a real systemd as PID 1 of namespaces of its own: no container runtime, nothing to install. Its root is an
# overlay over this machine's /, so that programs are there; what it changes goes to a tmpfs and vanishes. The network
# namespace is this machine's. Needs root.
#   sdboot.sh start [SRC:DST...]   boot; each SRC of this machine is also seen at DST, read-only
#   sdboot.sh exec CMD...          run CMD inside
#   sdboot.sh stop                 power off
# SDBOOT_DIR names the instance (default /run/sdboot).
set -euo pipefail
D=${SDBOOT_DIR:-/run/sdboot}
CONTROLLERS="cpu cpuacct cpuset memory devices freezer blkio pids"
unified() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }

# A child of our own cgroup in hierarchy $1: stays inside whatever limits hold for us.
group() {
    local own
    if unified; then
        own=$(sed -n 's/^0:://p' /proc/self/cgroup)
        echo "/sys/fs/cgroup${own%/}/sdboot-$$"
        return
    fi
    case $1 in
        systemd) own=$(sed -n 's/^[0-9]*:name=systemd://p' /proc/self/cgroup) ;;
        unified) own=$(sed -n 's/^0:://p' /proc/self/cgroup) ;;
        *) own=$(sed -n "s/^[0-9]*:\([a-z_,]*,\)\?$1\(,[a-z_,]*\)\?://p" /proc/self/cgroup) ;;
    esac
    echo "/sys/fs/cgroup/$1${own%/}/sdboot-$$"
}

groups() {
    if unified; then group unified; else for c in $CONTROLLERS systemd unified; do [ -d "/sys/fs/cgroup/$c" ] && group "$c"; done; fi
}

mount_cgroups() { # seen through our cgroup namespace: / is the group made by start
    if [ "$1" = unified ]; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    for c in $CONTROLLERS; do mkdir sys/fs/cgroup/$c; mount -t cgroup -o $c cgroup sys/fs/cgroup/$c; done
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
}

mask_host_units() {
    rm -rf etc/systemd/system/*.wants
    ln -sfn /lib/systemd/system/basic.target etc/systemd/system/default.target
    for unit in systemd-timesyncd systemd-networkd systemd-resolved systemd-remount-fs systemd-sysctl \
        systemd-modules-load systemd-udevd systemd-udev-trigger; do
        ln -sfn /dev/null etc/systemd/system/$unit.service
    done
    for unit in dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
        sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount systemd-journald-audit.socket; do
        ln -sfn /dev/null etc/systemd/system/$unit
    done
    mkdir -p etc/tmpfiles.d
    ln -sfn /dev/null etc/tmpfiles.d/tmp.conf # Debian's would empty the overlay's /tmp
    : >etc/fstab
    : >etc/machine-id
}

inner() {
    local hierarchy=hybrid
    if unified; then hierarchy=unified; fi
    mount --make-rprivate /
    mkdir -p "$D"
    mount -t tmpfs -o mode=755 tmpfs "$D"
    mkdir "$D"/{up,work,root}
    mount -t overlay overlay -o lowerdir=/,upperdir="$D/up",workdir="$D/work" "$D/root"
    cd "$D/root"
    for pair in "$@"; do
        if [ -d "${pair%%:*}" ]; then mkdir -p ".${pair##*:}"; else mkdir -p "$(dirname ".${pair##*:}")"; touch ".${pair##*:}"; fi
        mount --rbind "${pair%%:*}" ".${pair##*:}"
        mount -o remount,bind,ro ".${pair##*:}"
    done
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs sysfs sys
    mount -o remount,ro sys
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/pts dev/shm
    for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
        IFS=: read -r name major minor <<<"$node"
        mknod -m 666 "dev/$name" c "$major" "$minor"
    done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%%:*}" "dev/${n##*:}"; done
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    mount -t tmpfs -o mode=755 tmpfs run
    mount_cgroups "$hierarchy"
    mask_host_units
    mkdir -p .old
    pivot_root . .old
    cd /
    umount -l /.old
    mount --make-rshared / # credentials reach a service's own mount namespace by propagation
    exec env -i container=sdboot PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        /lib/systemd/systemd --system --log-target=journal --show-status=no
}

start() {
    local parent pid=""
    groups >"$D.groups"
    while read -r group; do
        mkdir -p "$group"
        case $group in
            */cpuset/*) for f in cpuset.cpus cpuset.mems; do cat "$group/../$f" >"$group/$f"; done ;;
        esac
    done <"$D.groups"
    (
        while read -r group; do echo "$BASHPID" >"$group/cgroup.procs"; done <"$D.groups"
        exec setsid unshare --fork --pid --mount --uts --ipc --cgroup --kill-child "$(readlink -f "$0")" inner "$@"
    ) </dev/null >"$D.log" 2>&1 &
    parent=$!
    for _ in $(seq 1 400); do
        pid=$(ps -o pid= --ppid $parent 2>/dev/null | tr -d ' ' || true)
        if [ -n "$pid" ] && nsenter -t "$pid" -m -p test -S /run/systemd/private 2>/dev/null; then break; fi
        if ! kill -0 $parent 2>/dev/null; then break; fi
        sleep 0.05
    done
    if [ -z "$pid" ]; then cat "$D.log"; exit 1; fi
    echo "$pid" >"$D.pid"
    for _ in $(seq 1 400); do
        case $("$0" exec systemctl is-system-running 2>/dev/null || true) in running | degraded) return ;; esac
        sleep 0.05
    done
    echo "systemd did not come up"; cat "$D.log"; exit 1
}

stop() {
    local pid
    pid=$(cat "$D.pid")
    kill -s RTMIN+13 "$pid" 2>/dev/null || true
    for _ in $(seq 1 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
    kill -9 "$pid" 2>/dev/null || true
    sleep 0.2
    while read -r group; do find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true; done <"$D.groups"
    rm -f "$D.pid" "$D.groups" "$D.log"
    rmdir "$D" 2>/dev/null || true
}

case ${1:-} in
    inner) shift; inner "$@" ;;
    start) shift; start "$@" ;;
    exec) shift; exec nsenter -t "$(cat "$D.pid")" -m -u -i -p -C -r -w -- "$@" ;;
    stop) stop ;;
    *) echo "usage: $0 start [SRC:DST...] | exec CMD... | stop" >&2; exit 2 ;;
esac
