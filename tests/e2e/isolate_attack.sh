#!/bin/sh
# What a command tries against Hawser and the host beyond its namespaces, as COMMAND of `hawser run --isolate`. Nothing here does harm if
# it succeeds; each success is a line "ESCAPED …". Arguments: Hawser's process, another one of the same user, a TCP port of the host, a
# file of Hawser's, an empty folder on the same filesystem, then paths of sockets. Port and sockets answer "reached". OWN names
# further files of Hawser's, which are not empty.
hawser=$1 bystander=$2 port=$3 capture=$4 folder=$5
shift 5
exec 2>/dev/null
trap "" TERM
escaped() { echo "ESCAPED $*"; }

look() {
  for path in "$@"; do
    [ "$(socat -T1 -t1 -u "UNIX-CONNECT:$path" -)" = reached ] && escaped "to $path $when"
  done
  [ "$(head -c 4 "$capture" | wc -c)" = 0 ] || escaped "into the capture $when"
  (: >>"$capture") && escaped "to write the capture $when"
  for own in $OWN; do
    [ "$(head -c 4 "$own" | wc -c)" = 0 ] || escaped "into ${own##*/} $when"
    (: >>"$own") && escaped "to write ${own##*/} $when"
  done
  [ -d "/proc/$hawser" ] && escaped "to see Hawser $when"
}

when="at first"
look "$@"

# Mounts: take them away, move them, look under them, here and in namespaces of one's own.
undo='
cut -d" " -f5 /proc/self/mountinfo | sort -r | while read -r path; do
  umount "$path"; umount -l "$path"; mount -o remount,rw,dev "$path"; mount --move "$path" "$1"
done
mount -t proc proc /proc
'
# Shows each folder above a path at another place, where the path may have no cover.
lay_bare() {
  mkdir -p "$folder/under"
  for path in "$@"; do
    above=$path
    while [ "$above" != / ]; do
      above=$(dirname "$above")
      for way in --bind --rbind; do
        mount "$way" "$above" "$folder/under" || continue
        rest=${path#"$above"}
        [ "$(head -c 4 "$folder/under/$rest" | wc -c)" = 0 ] || escaped "to $path by $way of $above"
        [ "$(socat -T1 -t1 -u "UNIX-CONNECT:$folder/under/$rest" -)" = reached ] && escaped "to $path by $way of $above"
        umount -l "$folder/under"
      done
    done
  done
}
sh -c "$undo" undo "$folder"
when="after umount"
look "$@"
unshare -Urm sh -c "$undo" undo "$folder"
unshare -Urmpf sh -c "$undo" undo "$folder"
lay_bare "$capture" $OWN "$@"
when="in a new mount namespace"
look "$@"
mv "$capture" "$folder/moved" && escaped "by a rename"
rm "$capture" && escaped "by a removal"
ln "$capture" "$folder/link" && [ -s "$folder/link" ] && escaped "by a hard link"
mv "$parent" "$parent.moved" && { [ -s "$parent.moved/$(basename "$capture")" ] && escaped "by a rename of the folder"; mv "$parent.moved" "$parent"; }

# Processes: those that can be named, and by number.
[ "$(cat /proc/1/comm)" = sh ] || escaped "into the caller's processes"
for process in /proc/[0-9]*; do
  pid=${process#/proc/}
  [ "$pid" = $$ ] && continue
  ls "$process/root/" >/dev/null && [ "$(readlink "$process/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ] && escaped "by the root of $pid"
  for fd in "$process"/fd/*; do
    for own in "$capture" $OWN; do [ "$(readlink -f "$fd")" = "$own" ] && escaped "by a descriptor of $pid"; done
  done
  nsenter -t "$pid" -m true && [ "$(readlink "$process/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ] && escaped "into the mounts of $pid"
done
for pid in "$hawser" "$bystander"; do
  kill -0 "$pid" && escaped "to signal $pid"
  prlimit --pid "$pid" >/dev/null && escaped "to the limits of $pid"
  nsenter -t "$pid" -n true && escaped "into the network of $pid"
  cat "/proc/$pid/environ" >/dev/null && escaped "to the environment of $pid"
done
# Only where Hawser's processes cannot be seen, or this would end everything that the user runs.
[ -d "/proc/$hawser" ] || { kill -KILL 1; kill -STOP 1; (kill -TERM -1); }

# Descriptors that nobody closed.
for fd in /proc/self/fd/*; do
  case $(readlink "$fd") in
    socket:* | /dev/net/tun | "$capture") escaped "by descriptor ${fd##*/}" ;;
  esac
  for own in $OWN; do [ "$(readlink "$fd")" = "$own" ] && escaped "by descriptor ${fd##*/} to ${own##*/}"; done
done

# Devices and the kernel's switches.
device=$(stat -c %d /)
for device in "$((device >> 8)):$((device & 255))" 1:1 7:0; do
  mknod "$folder/disk" b "${device%:*}" "${device#*:}" && { (: <"$folder/disk") && escaped "by mknod"; rm "$folder/disk"; }
done
for path in /dev/* /dev/*/*; do
  [ -b "$path" ] && (: <"$path") && escaped "by disk $path"
done
for path in /dev/mem /dev/port /dev/kmsg /dev/uinput /proc/kcore; do
  [ -e "$path" ] && (: <"$path") && escaped "by $path"
done
for path in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/overcommit_memory /sys/kernel/uevent_helper; do
  value=$(cat "$path") && (printf '%s\n' "$value" >"$path") && escaped "by $path"
done
(: >/proc/sysrq-trigger) && escaped "by sysrq"
find /sys/fs/cgroup -name cgroup.procs | head -n 20 | while read -r path; do
  (: >>"$path") && escaped "by control group $path"
done

# Memory and queues that others share.
[ "$(ls -A /dev/shm /dev/mqueue | grep -c hawser)" = 0 ] || escaped "to shared memory"
[ "$(ipcs -m | grep -c 0x)" = 0 ] || escaped "to System V memory"

# Files of Hawser's, in other ways than by opening them.
for own in $OWN; do
  for deed in "mv $own $folder/moved" "rm $own" "ln $own $folder/link.${own##*/}" "truncate -s 0 $own" "cp /dev/null $own"; do
    $deed && escaped "to ${deed%% *} ${own##*/}"
  done
done

when="at last"
look "$@"
# The network is still there, and Hawser serves it.
[ "$(socat -T5 -t5 -u TCP:10.0.2.2:"$port" -)" = reached ] && echo attacked
