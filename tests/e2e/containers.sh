#!/bin/bash
# Containers of an ordinary user with Hawser in place of slirp4netns, by the real programs: podman, buildah, rootlesskit,
# bubblewrap. As root, which makes the user, gives it a /dev/net/tun, and removes both again:
#
#   tests/e2e/containers.sh [PART…]
#
# Parts are the functions below whose names begin with `part_`; without one, all but three are done: `many` starts and
# ends HWC_COUNT (200) containers in a row, `docker` needs docker.io, and `speed` measures beside the real slirp4netns, in
# three alternating rounds.
# A line a part says how it went; the exit code is 0 if all went well.
#
# HAWSER names the command line in place of that of the checkout, such as "/opt/hawser/slirp4netns". Nothing is asked of
# the network: the image is made of this machine's files, guests ask the host's loopback alone, and names are asked of
# this script's own server.
set -uo pipefail
PARTS="default bridge published handler keepid pod dns ipv6 rules endings killed buildah rootlesskit bwrap"
SELF=$(readlink -f "$0")
ROOT=$(dirname "$(dirname "$(dirname "$SELF")")")
export PATH="$PATH:/usr/sbin:/sbin"

# ---------------------------------------------------------------------------------------------------------- outside

# rootfs FOLDER: busybox, socat and iperf3, and the libraries of these.
rootfs() {
  local root=$1 applet program library
  mkdir -p "$root"/{bin,dev,etc,proc,root,run,sys,tmp,usr,var/tmp}
  cp /bin/busybox "$root/bin/"
  for applet in $(/bin/busybox --list | grep -vx busybox); do ln -sf busybox "$root/bin/$applet"; done
  ln -s ../bin "$root/usr/bin"
  ln -s bin "$root/sbin"
  for program in socat iperf3; do
    cp -L "$(command -v $program)" "$root/bin/$program"
    for library in $(ldd "$(command -v $program)" | grep -o '/[^ ]*'); do
      mkdir -p "$root$(dirname "$library")" && cp -Ln "$library" "$root$library"
    done
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
}

# outside PART…: makes user, files and servers, and does the parts as that user.
outside() {
  [ "$(id -u)" = 0 ] || { echo "containers.sh: run it as root, it makes an ordinary user" >&2; exit 2; }
  # Short, because the paths of sockets are: podman and rootlesskit put some below it.
  T=$(mktemp -d /tmp/hwc.XXXX)
  USER_NAME="hwc$$"
  # Ports of this run's own, below those that the kernel gives to connections.
  P=$((20000 + $$ % 1000 * 10))
  trap cleanup EXIT
  chmod 755 "$T"
  mkdir -p "$T"/{bin,root,cache,tree,www,dev}
  useradd --create-home --home-dir "$T/home" --shell /bin/bash "$USER_NAME" || exit 1
  install -d -m 700 -o "$USER_NAME" "$T/run"
  local deno deno_dir name
  deno=$(readlink -f "$(deno eval 'console.log(Deno.execPath())')")
  deno_dir=$(deno eval 'console.log(JSON.parse(new TextDecoder().decode(new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).outputSync().stdout)).denoDir)')
  cp "$deno" "$T/deno"
  cp -r "$deno_dir/npm" "$T/cache/" 2>/dev/null
  for name in cli.ts mod.ts deno.json deno.lock cli net nat forward host guest rules audit tools; do
    [ -e "$ROOT/$name" ] && cp -r "$ROOT/$name" "$T/tree/"
  done
  chmod -R a+rwX "$T/cache"
  chmod -R a+rX "$T/tree"
  cat >"$T/bin/slirp4netns" <<END
#!/bin/sh
export DENO_DIR=$T/cache DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
exec ${HAWSER:-$T/deno run --no-prompt --no-check --allow-read --allow-write --allow-ffi --allow-net --allow-env $T/tree/cli.ts slirp4netns} --dns "\${HWC_DNS:-none}" --map 10.0.2.9=127.0.0.1 --map fd00::9=::1 "\$@"
END
  chmod 755 "$T/bin/slirp4netns"
  rootfs "$T/root"
  tar -C "$T/root" -cf "$T/rootfs.tar" .
  head -c 3000000 /dev/urandom >"$T/www/file"
  cp "$SELF" "$T/containers.sh"
  # Servers of the host, on loopback.
  busybox httpd -f -p 127.0.0.1:$P -h "$T/www" & HTTP=$!
  socat TCP6-LISTEN:$((P + 1)),bind=[::1],fork,reuseaddr SYSTEM:'echo six' & SIX=$!
  "$T/deno" eval --quiet "$DNS_SERVER" $((P + 2)) & DNS=$!
  local words=()
  # A kernel that has both kinds of control groups: the new kind is hidden, because crun takes such a mixture for broken.
  export T USER_NAME P
  for name in HWC_COUNT HWC_SECONDS; do [ -n "${!name:-}" ] && words+=("$name=${!name}"); done
  unshare -m --propagation shared bash -c '
    [ -d /sys/fs/cgroup/unified ] && umount /sys/fs/cgroup/unified
    mount -t tmpfs -o mode=755 none "$T/dev" && mknod -m 666 "$T/dev/tun" c 10 200 && mknod -m 666 "$T/dev/fuse" c 10 229
    mount --bind "$T/dev/tun" /dev/net/tun && { [ ! -e /dev/fuse ] || mount --bind "$T/dev/fuse" /dev/fuse; }
    exec setpriv --reuid "$USER_NAME" --regid "$USER_NAME" --init-groups --reset-env env T="$T" P="$P" PATH="$T/bin:$PATH" '"${words[*]:-}"' \
      XDG_RUNTIME_DIR="$T/run" HOME="$T/home" bash "$T/containers.sh" --inside "$@"' bash "$@"
}

# Answers every question for an address with 10.0.2.9, and fd00::9 if the name begins with "six".
DNS_SERVER='
import { createSocket } from "node:dgram";
const socket = createSocket("udp4");
socket.on("message", (query, from) => {
  const name = query.indexOf(0, 12);
  const kind = query.readUInt16BE(name + 1), isSix = query.toString("latin1", 13, 16) === "six";
  const data = kind === 1 ? [10, 0, 2, 9] : kind === 28 && isSix ? [0xfd, ...Array(14).fill(0), 9] : undefined;
  const head = Buffer.from(query.subarray(0, name + 5));
  head[2] = 0x81; head[3] = 0x80; head.writeUInt16BE(data ? 1 : 0, 6); head.writeUInt16BE(0, 8); head.writeUInt16BE(0, 10);
  const answer = data ? Buffer.from([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.length, ...data]) : Buffer.alloc(0);
  socket.send(Buffer.concat([head, answer]), from.port, from.address);
});
socket.bind(Number(Deno.args[0]), "127.0.0.1");
'

cleanup() {
  local pid
  for pid in $(ps -o pid= -u "$USER_NAME" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null; done
  kill "${HTTP:-}" "${SIX:-}" "${DNS:-}" 2>/dev/null
  wait 2>/dev/null
  userdel "$USER_NAME" 2>/dev/null
  [ -n "${HWC_KEEP:-}" ] || rm -rf "$T"
}

# ----------------------------------------------------------------------------------------------------------- inside

fail() {
  echo "$*"
  exit 1
}

# same WHAT HAVE WANT
same() { [ "$2" = "$3" ] || fail "$1 is \"$2\" and not \"$3\""; }
has() { case $2 in *"$3"*) ;; *) fail "$1 lacks \"$3\": $2" ;; esac; }

# until_true SECONDS COMMAND…
until_true() {
  # A busy machine needs longer.
  local end=$((SECONDS + 3 * $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "waited in vain: $*"
    sleep 0.1
  done
}

# How many of the gateways of this user live.
gateways() { pgrep -u "$(id -u)" -f 'cli.ts slirp4netns|[s]lirp4netns .*--netns-type|slirp4netns.*tap0' | wc -l; }
no_gateway() { [ "$(gateways)" = 0 ]; }

pod() { podman run --rm --quiet "$@"; }
# In a container: the digest of the host's file. podman asks slirp4netns to close the way to the host's loopback by the
# gateway's address, and so there is a --map.
FETCH="wget -q -O - http://10.0.2.9:${P:-0}/file | sha256sum | cut -c 1-64"
DIGEST=
# A server of a container: TCP on 80 says who asks, UDP on 7000 says it again.
SERVE='socat TCP-LISTEN:80,fork,reuseaddr SYSTEM:"read -r line; echo \$line from \$SOCAT_PEERADDR" & socat UDP-RECVFROM:7000,fork EXEC:cat & wait'
ask_tcp() { echo hello | socat -t 5 - "TCP4:127.0.0.1:$1"; }
ask_udp() { echo hello | socat -t 2 - "UDP4:127.0.0.1:$1" | head -n 1; }
tcp_answers() { ask_tcp "$1" 2>/dev/null | grep -q 'hello from'; }
udp_answers() { ask_udp "$1" 2>/dev/null | grep -qx hello; }

part_default() {
  has "the interface" "$(pod base ip addr show tap0)" "inet 10.0.2.100/24"
  same "the file" "$(pod base sh -c "$FETCH")" "$DIGEST"
  has "another network" "$(pod --network slirp4netns:cidr=10.9.0.0/24,mtu=1500 base ip addr show tap0)" "inet 10.9.0.100/24"
  pod base false
  same "the exit code" $? 1
  has "the way to the host's loopback" "$(pod base sh -c "${FETCH/10.0.2.9/10.0.2.2}" 2>&1)" refused
  same "the file" "$(pod --network slirp4netns:allow_host_loopback=true base sh -c "${FETCH/10.0.2.9/10.0.2.2}")" "$DIGEST"
  until_true 10 no_gateway
}

part_bridge() {
  podman network create n1 >/dev/null || fail "no network"
  podman run -d -q --name web --network n1 base sh -c "$SERVE" >/dev/null || fail "no container"
  local address
  address=$(podman inspect -f '{{.NetworkSettings.Networks.n1.IPAddress}}' web)
  same "the neighbour" "$(pod --network n1 base sh -c "echo hello | socat -t 5 - TCP4:$address:80" | cut -d ' ' -f 1)" hello
  same "the file" "$(pod --network n1 base sh -c "$FETCH")" "$DIGEST"
  podman rm -f -t 0 web >/dev/null
  podman network rm n1 >/dev/null
  until_true 10 no_gateway
}

published() {
  podman run -d -q --name p1 "$@" -p 127.0.0.1:$((P + 4)):80 -p 127.0.0.1:$((P + 5)):7000/udp base sh -c "$SERVE" >/dev/null || fail "no container"
  until_true 15 tcp_answers $((P + 4))
  until_true 15 udp_answers $((P + 5))
  head -c 3000000 /dev/zero | tr '\0' x >"$T/run/big"
  podman exec -d p1 sh -c 'socat -u TCP-LISTEN:81,reuseaddr CREATE:/tmp/big'
  podman rm -f -t 0 p1 >/dev/null
  until_true 10 no_gateway
  tcp_answers $((P + 4)) && fail "the port is still there"
  return 0
}

part_published() { published --network slirp4netns; }
part_handler() { published --network slirp4netns:port_handler=slirp4netns; }

part_keepid() {
  same "the file" "$(pod --userns=keep-id base sh -c "$FETCH")" "$DIGEST"
  same "the user" "$(pod --userns=keep-id base id -u)" "$(id -u)"
}

part_pod() {
  podman pod create --name pod1 -p 127.0.0.1:$((P + 6)):80 >/dev/null || fail "no pod"
  podman run -d -q --pod pod1 --name one base sh -c "$SERVE" >/dev/null || fail "no container"
  same "the neighbour on loopback" "$(pod --pod pod1 base sh -c 'echo hello | socat -t 5 - TCP4:127.0.0.1:80' | cut -d ' ' -f 1)" hello
  same "the file" "$(pod --pod pod1 base sh -c "$FETCH")" "$DIGEST"
  until_true 15 tcp_answers $((P + 6))
  podman pod rm -f -t 0 pod1 >/dev/null
  until_true 10 no_gateway
}

part_dns() {
  has "the answer" "$(HWC_DNS=127.0.0.1:$((P + 2)) pod --dns 10.0.2.3 base nslookup web.test 10.0.2.3)" "10.0.2.9"
  same "the file" "$(HWC_DNS=127.0.0.1:$((P + 2)) pod --dns 10.0.2.3 base sh -c "${FETCH/10.0.2.9/web.test}")" "$DIGEST"
  has "a name of the gateway" "$(HWC_DNS=127.0.0.1:$((P + 2)) pod --dns 10.0.2.3 base nslookup host.hawser.internal 10.0.2.3)" "10.0.2.2"
}

part_ipv6() {
  local script='for i in $(seq 50); do ip addr show tap0 | grep -q "inet6 fd00::.*" && break; sleep 0.1; done; ip addr show tap0'
  has "the interface" "$(pod --network slirp4netns:enable_ipv6=true base sh -c "$script")" "inet6 fd00::"
  same "the host's ::1" "$(pod --network slirp4netns:enable_ipv6=true base sh -c "$script >/dev/null; socat -t 5 - 'TCP6:[fd00::9]:$((P + 1))' </dev/null")" six
}

part_rules() {
  local rules=$T/run/rules.txt audit=$T/run/audit.jsonl
  echo "allow tcp:10.0.2.9:$P" >"$rules"
  same "what is allowed" "$(HAWSER_RULES=$rules HAWSER_AUDIT=$audit pod base sh -c "$FETCH")" "$DIGEST"
  has "what is not on the list" "$(HAWSER_RULES=$rules HAWSER_AUDIT=$audit pod base sh -c "socat -t 5 - TCP4:10.0.2.9:$((P + 1)),connect-timeout=5" </dev/null 2>&1)" refused
  until_true 10 no_gateway
  # Two containers have appended to one file, each from its start to its end.
  same "the audit" "$(grep -o '"event":"[a-z]*"' "$audit" | cut -d '"' -f 4 | tr '\n' ' ')" "start open close end start refuse end "
  echo "allow 10.0.0.0/99" >"$rules"
  has "a bad rule" "$(HAWSER_RULES=$rules pod base true 2>&1)" "rules.txt:1: bad rule"
  # A name that is allowed leads where Hawser's own answer led, and no other is answered.
  local by_name=(pod --network slirp4netns:allow_host_loopback=true --dns 10.0.2.3 base sh -c)
  export HAWSER_RULES=$rules HWC_DNS=127.0.0.1:$((P + 2))
  echo "allow tcp:host.hawser.internal:$P" >"$rules"
  same "the file by name" "$("${by_name[@]}" "${FETCH/10.0.2.9/host.hawser.internal}")" "$DIGEST"
  has "another name" "$("${by_name[@]}" "${FETCH/10.0.2.9/other.test}" 2>&1)" "bad address"
}

part_endings() {
  local how
  for how in "stop -t 0" "kill" "rm -f -t 0"; do
    podman run -d -q --name e1 base sleep 1000 >/dev/null || fail "no container"
    # shellcheck disable=SC2086
    podman $how e1 >/dev/null || fail "podman $how"
    until_true 10 no_gateway
    podman rm -f -t 0 e1 >/dev/null 2>&1
  done
  podman run -d -q --name e2 base sleep 1000 >/dev/null || fail "no container"
  podman restart -t 0 e2 >/dev/null || fail "restart"
  same "the file" "$(podman exec e2 sh -c "$FETCH")" "$DIGEST"
  podman rm -f -t 0 e2 >/dev/null
  until_true 10 no_gateway
}

part_killed() {
  podman run -d -q --name k1 base sleep 1000 >/dev/null || fail "no container"
  pgrep -u "$(id -u)" -f 'slirp4netns.*tap0' | xargs kill -KILL
  until_true 10 no_gateway
  podman exec k1 true || fail "the container has ended with its gateway"
  has "the interface" "$(podman exec k1 ip addr show tap0 2>&1)" "can't find device"
  podman rm -f -t 0 k1 >/dev/null || fail "the container cannot be removed"
}

part_buildah() {
  mkdir -p "$T/run/build" && printf 'FROM localhost/base\nRUN %s > /digest\nRUN ip addr show tap0 > /tap0\n' "$FETCH" >"$T/run/build/Dockerfile"
  buildah bud -q -t built "$T/run/build" >"$T/run/build.log" 2>&1 || fail "$(cat "$T/run/build.log")"
  same "the file" "$(pod --network none built cat /digest)" "$DIGEST"
  has "the interface" "$(pod --network none built cat /tap0)" "10.0.2.100/24"
  until_true 10 no_gateway
}

# kit PORT-DRIVER: a container of rootlesskit, by itself and with a port.
kit() {
  local state=$T/run/kit options="--net=slirp4netns --mtu=65520 --copy-up=/etc --disable-host-loopback"
  rm -rf "$state"
  # shellcheck disable=SC2086
  rootlesskit $options --state-dir "$state" --port-driver "$1" --slirp4netns-sandbox=auto --slirp4netns-seccomp=auto sh -c '
    ip addr show tap0; busybox '"$FETCH"'; echo ready; socat TCP-LISTEN:80,fork,reuseaddr SYSTEM:"read -r line; echo \$line from \$SOCAT_PEERADDR" & echo $! >'"$T"'/run/pid; wait' >"$T/run/kit.log" 2>&1 &
  until_true 20 grep -qx ready "$T/run/kit.log"
  has "the interface" "$(cat "$T/run/kit.log")" "inet 10.0.2.100/24"
  has "the file" "$(cat "$T/run/kit.log")" "$DIGEST"
  rootlessctl --socket "$state/api.sock" add-ports 127.0.0.1:$((P + 8)):80/tcp >/dev/null || fail "add-ports"
  until_true 10 tcp_answers $((P + 8))
  rootlessctl --socket "$state/api.sock" remove-ports 1 >/dev/null || fail "remove-ports"
  tcp_answers $((P + 8)) && fail "the port is still there"
  kill "$(cat "$state/child_pid")"
  wait
  until_true 10 no_gateway
}

part_rootlesskit() { kit builtin && kit slirp4netns; }

part_bwrap() {
  # The network belongs to a user namespace around the one in which the command is, and to one that has no root.
  wrapped --bind / / --dev /dev --proc /proc && wrapped --dev-bind / /
}

part_docker() {
  export DOCKER_HOST="unix://$XDG_RUNTIME_DIR/docker.sock"
  export DOCKERD_ROOTLESS_ROOTLESSKIT_NET=slirp4netns DOCKERD_ROOTLESS_ROOTLESSKIT_MTU=65520
  bash /usr/share/docker.io/contrib/dockerd-rootless.sh --storage-driver=vfs --data-root "$HOME/docker" >"$T/run/dockerd.log" 2>&1 &
  local daemon=$!
  until_true 30 docker info
  docker import "$T/rootfs.tar" base >/dev/null || fail "import"
  same "the file" "$(docker run --rm base sh -c "$FETCH")" "$DIGEST"
  docker run -d --name web1 -p 127.0.0.1:$((P + 7)):80 base sh -c "$SERVE" >/dev/null || fail "no container"
  until_true 15 tcp_answers $((P + 7))
  docker rm -f web1 >/dev/null
  kill "$daemon"
  wait
  until_true 10 no_gateway
}

# wrapped OPTION…: a command of bubblewrap.
wrapped() {
  rm -f "$T/run/info" "$T/run/go"
  bwrap --unshare-net "$@" --info-fd 5 sh -c "
    until [ -e $T/run/go ]; do sleep 0.1; done; ip addr show tap0; busybox $FETCH" 5>"$T/run/info" >"$T/run/bwrap.log" 2>&1 & local command=$!
  until_true 10 grep -q child-pid "$T/run/info"
  local pid ready=$T/run/bwrap-ready
  pid=$(grep -o '"child-pid": [0-9]*' "$T/run/info" | cut -d ' ' -f 2)
  slirp4netns -c -r 3 "$pid" tap0 3>"$ready" >/dev/null & local gateway=$!
  until_true 15 grep -q 1 "$ready"
  touch "$T/run/go"
  wait "$command" || fail "$(cat "$T/run/bwrap.log")"
  has "the interface" "$(cat "$T/run/bwrap.log")" "inet 10.0.2.100/24"
  has "the file" "$(cat "$T/run/bwrap.log")" "$DIGEST"
  kill "$gateway"
  wait
  until_true 10 no_gateway
}

# What lies around: files and sockets of gateways and namespaces, processes of this user, mounts that it sees.
remains() {
  find "$XDG_RUNTIME_DIR" /tmp -maxdepth 3 -user "$(id -u)" \( -iname '*slirp*' -o -iname '*hawser*' -o -path '*/netns/*' \) 2>/dev/null | sort
  # Zombies are whoever's who is to reap them, and that is not every machine's first process.
  ps -o stat=,comm= -u "$(id -u)" | awk '$1 !~ /^Z/ && $2 !~ /^(ps|sort|find|awk|uniq|bash)$/ { print $2 }' | sort | uniq -c
  wc -l </proc/self/mountinfo
}

part_many() {
  local count=${HWC_COUNT:-200} i before
  pod base true
  until_true 10 no_gateway
  before=$(remains)
  for i in $(seq "$count"); do pod base true || fail "container $i"; done
  until_true 10 no_gateway
  same "what remains" "$(remains)" "$before"
}

# speed_of PROGRAM TRANSFER…: Mbit/s of a transfer to or from the host.
speed_of() {
  local program=$1
  shift
  podman --network-cmd-path "$program" run --rm --quiet --network slirp4netns:allow_host_loopback=true base \
    iperf3 -c 10.0.2.2 -p $((P + 3)) -t "${HWC_SECONDS:-5}" -f m "$@" | awk '/receiver/ { print int($7) }'
}

# times_of PROGRAM: milliseconds of `podman run … true`, the median of seven.
times_of() {
  local began i
  for i in 1 2 3 4 5 6 7; do
    began=$(date +%s%N)
    podman --network-cmd-path "$1" run --rm --quiet --network slirp4netns base true
    echo $((($(date +%s%N) - began) / 1000000))
  done | sort -n | sed -n 4p
}

part_speed() {
  local round program
  iperf3 -s -B 127.0.0.1 -p $((P + 3)) >/dev/null & local server=$!
  for round in 1 2 3; do
    for program in "$T/bin/slirp4netns" /usr/bin/slirp4netns; do
      echo "round $round of $program: up $(speed_of "$program") Mbit/s, down $(speed_of "$program" -R) Mbit/s, podman run $(times_of "$program") ms" >&3
    done
  done
  kill $server
}

inside() {
  local part began failed=0
  cd "$HOME" || exit 1
  export STORAGE_DRIVER=overlay
  podman info >/dev/null 2>&1 || export STORAGE_DRIVER=vfs
  mkdir -p "$HOME/.config/containers"
  cat >"$HOME/.config/containers/containers.conf" <<END
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
network_cmd_path = "$T/bin/slirp4netns"
END
  podman import -q "$T/rootfs.tar" localhost/base >/dev/null || exit 1
  DIGEST=$(sha256sum <"$T/www/file" | cut -c 1-64)
  for part in "$@"; do
    began=$(date +%s%N)
    if (set -u; "part_$part") 3>&1 >"$T/run/log" 2>&1; then
      echo "ok      $part ($((($(date +%s%N) - began) / 1000000)) ms)"
    else
      failed=1
      echo "FAILED  $part: $(tail -n 20 "$T/run/log")"
      podman rm -a -f -t 0 >/dev/null 2>&1
      podman pod rm -a -f -t 0 >/dev/null 2>&1
    fi
  done
  podman system migrate >/dev/null 2>&1
  return $failed
}

if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
else
  # shellcheck disable=SC2086
  [ $# -gt 0 ] || set -- $PARTS
  outside "$@"
fi
