#!/bin/bash
# Containers of an ordinary user in Debian 13 with Hawser in place of pasta, by the real programs: podman 5, buildah,
# rootlesskit. As root:
#
#   tests/e2e/containers_pasta.sh [PART…]
#
# Parts are the functions below whose names begin with `part_`; without one, all but three are done: `many` starts and
# ends HWP_COUNT (200) containers in a row, `speed` measures beside the real pasta in three alternating rounds, and
# `bats` does podman's own tests of pasta, whose folder (test/system of its source) HWP_BATS names. A line a part says
# how it went; the exit code is 0 if all went well.
#
# HWP_PASTA=/usr/bin/pasta does the same parts with Debian's pasta: what both pass, callers may rely on.
# HWP_DEBIAN is the folder with Debian 13 (/tmp/debian13), which debootstrap fills if it is not there. It is not written
# to: user, files and containers lie on top of it.
#
# Nothing leaves the machine. All this is in a network of its own, "the host", whose one way out is a veth pair to
# "the internet": one more network with web server, echo, DNS and iperf3, and no way on.
set -uo pipefail
PARTS="command default options bridge published udp keepid pod dns host ipv6 loopback auto inner rules endings restart killed buildah rootlesskit"
PACKAGES=podman,catatonit,passt,buildah,rootlesskit,netavark,aardvark-dns,crun,nftables,iproute2,socat,iperf3,busybox-static,uidmap,fuse-overlayfs,procps,jq,ncat,bind9-dnsutils,python3,bats,ca-certificates
SELF=$(readlink -f "$0")
ROOT=$(dirname "$(dirname "$(dirname "$SELF")")")
export PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
# The host as a guest sees it, who is on the internet, and what the host has on all addresses, on its own and on loopback.
HOST4=203.0.113.10 HOST6=2001:db8:7::10 GATE4=203.0.113.1 GATE6=2001:db8:7::1 WEB4=198.51.100.80 WEB6=2001:db8:80::80
EVERY=8080 LOCAL=8081
# Callers' fixed addresses: podman tells pasta so, and it is what its containers find in resolv.conf and hosts.
DNS=169.254.1.1 HOST=169.254.1.2

# ---------------------------------------------------------------------------------------------------------- outside

debian() {
  [ -x "$DEBIAN/usr/bin/podman" ] && return
  debootstrap --variant=minbase --include="$PACKAGES" trixie "$DEBIAN" http://deb.debian.org/debian >"$T/debootstrap.log" 2>&1 ||
    { tail -n 5 "$T/debootstrap.log" >&2; exit 1; }
}

# rootfs FOLDER: busybox, and programs of Debian 13 with their libraries.
rootfs() {
  local root=$1 applet program file
  mkdir -p "$root"/{bin,dev,etc,proc,root,run,sys,tmp,usr,var/tmp,home/podman}
  cp "$DEBIAN/bin/busybox" "$root/bin/"
  for applet in $("$DEBIAN/bin/busybox" --list | grep -vx busybox); do ln -sf busybox "$root/bin/$applet"; done
  ln -s ../bin "$root/usr/bin"
  ln -s bin "$root/sbin"
  for program in socat iperf3 ip ss getent; do
    rm -f "$root/bin/$program"
    cp -L "$(PATH=$DEBIAN/usr/bin:$DEBIAN/usr/sbin command -v $program)" "$root/bin/$program"
    # The loader of Debian 13 says which libraries it would take there.
    for file in $(chroot "$DEBIAN" ldd "$(PATH=$DEBIAN/usr/bin:$DEBIAN/usr/sbin command -v $program | sed "s|^$DEBIAN||")" | grep -o '/[^ ]*'); do
      mkdir -p "$root$(dirname "$file")" && cp -Ln "$DEBIAN$file" "$root$file"
    done
  done
  for file in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2 libgcc_s.so.1; do
    cp -L "$DEBIAN/lib/x86_64-linux-gnu/$file" "$root/lib/x86_64-linux-gnu/$file"
  done
  # What podman's own tests ask their image for.
  printf '#!/bin/sh\ncat >/tmp/data; wc -c </tmp/data; sha512sum </tmp/data\n' >"$root/home/podman/bytecheck"
  chmod 755 "$root/home/podman/bytecheck"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
}

# outside PART…: files, and the machine in which the rest is done.
outside() {
  [ "$(id -u)" = 0 ] || { echo "containers_pasta.sh: run it as root, it makes an ordinary user and networks" >&2; exit 2; }
  # Short, because the paths of sockets are: podman and rootlesskit put some below it.
  T=$(mktemp -d /var/tmp/hwp.XXXX)
  trap '[ -n "${HWP_KEEP:-}" ] || rm -rf "$T"' EXIT
  DEBIAN=$(readlink -f "${HWP_DEBIAN:-/tmp/debian13}")
  chmod 755 "$T"
  mkdir -p "$T"/{bin,image,www,machine,upper,work,home,run,dev}
  debian
  cp "$(readlink -f "$(deno eval 'console.log(Deno.execPath())')")" "$T/deno"
  if [ -z "${HWP_PASTA:-}" ]; then
    (cd "$ROOT" && "$T/deno" task --quiet build --install "$T/bin") || exit 1
    HWP_PASTA=$T/bin/pasta
  else
    ln -s "$HWP_PASTA" "$T/bin/pasta"
  fi
  rootfs "$T/image"
  tar -C "$T/image" -cf "$T/image.tar" .
  head -c 3000000 /dev/urandom >"$T/www/file"
  cp "$SELF" "$T/containers_pasta.sh"
  [ -z "${HWP_BATS:-}" ] || cp -r "$HWP_BATS" "$T/bats"
  export T DEBIAN HWP_PASTA
  # All processes end with the first one of their machine, whatever went wrong.
  unshare -m -n -p -f --kill-child --propagation private bash "$SELF" --machine "$@"
}

# Answers questions for an address: names below "test" and "net" lead to the web server, those that begin with "six" over
# IPv6 alone. No other is there.
DNS_SERVER='
import { createSocket } from "node:dgram";
const [web4, web6] = [[198, 51, 100, 80], [0x20, 1, 0x0d, 0xb8, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]];
for (const [kind, address] of [["udp4", "203.0.113.1"], ["udp6", "2001:db8:7::1"]]) {
  const socket = createSocket(kind);
  socket.on("message", (query, from) => {
    const name = query.indexOf(0, 12);
    const kind = query.readUInt16BE(name + 1), isSix = query.toString("latin1", 13, 16) === "six";
    const isThere = /(\x04test|\x03net)$/.test(query.toString("latin1", 12, name));
    const data = !isThere ? undefined : kind === 1 && !isSix ? web4 : kind === 28 ? web6 : undefined;
    const head = Buffer.from(query.subarray(0, name + 5));
    head[2] = 0x81; head[3] = isThere ? 0x80 : 0x83; head.writeUInt16BE(data ? 1 : 0, 6); head.writeUInt16BE(0, 8); head.writeUInt16BE(0, 10);
    const answer = data ? Buffer.from([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.length, ...data]) : Buffer.alloc(0);
    socket.send(Buffer.concat([head, answer]), from.port, from.address);
  });
  socket.bind(53, address);
}
'

# machine PART…: the two networks, the servers, and Debian 13 around the ordinary user.
machine() {
  local name
  mount -t proc proc /proc
  ip link set lo up
  # Echo requests of an ordinary user.
  echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range
  unshare -n sleep infinity & INTERNET=$!
  until [ "$(readlink /proc/$INTERNET/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
  in_internet() { nsenter --net="/proc/$INTERNET/ns/net" "$@"; }
  ip link add eth0 type veth peer name eth0 netns $INTERNET || exit 1
  ip addr add $HOST4/24 dev eth0
  ip addr add $HOST6/64 dev eth0 nodad
  in_internet ip addr add $GATE4/24 dev eth0
  in_internet ip addr add $GATE6/64 dev eth0 nodad
  in_internet ip link set lo up
  in_internet ip link set eth0 up
  ip link set eth0 up
  in_internet ip addr add $WEB4/32 dev lo
  in_internet ip addr add $WEB6/128 dev lo nodad
  ip route add default via $GATE4
  ip -6 route add default via $GATE6
  in_internet busybox httpd -f -p $WEB4:80 -h "$T/www" &
  in_internet busybox httpd -f -p "[$WEB6]:80" -h "$T/www" &
  in_internet socat UDP4-RECVFROM:7000,bind=$WEB4,fork EXEC:cat &
  in_internet socat -b 65536 UDP6-RECVFROM:7000,bind="[$WEB6]",fork EXEC:cat &
  in_internet socat TCP4-LISTEN:7001,bind=$WEB4,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR' 2>/dev/null &
  in_internet iperf3 -s -B $WEB4 >/dev/null 2>&1 &
  in_internet "$T/deno" eval --quiet "$DNS_SERVER" &
  iperf3 -s -B $HOST4 >/dev/null 2>&1 &
  busybox httpd -f -p $HOST4:$EVERY -h "$T/www" &
  busybox httpd -f -p "[$HOST6]:$EVERY" -h "$T/www" &
  busybox httpd -f -p 127.0.0.1:$LOCAL -h "$T/www" &
  busybox httpd -f -p "[::1]:$LOCAL" -h "$T/www" &
  socat UDP4-RECVFROM:$LOCAL,bind=127.0.0.1,fork EXEC:cat &
  mount -t overlay overlay -o "lowerdir=$DEBIAN,upperdir=$T/upper,workdir=$T/work" "$T/machine" || exit 1
  cd "$T/machine" || exit 1
  mkdir -p old "./$T"
  mount --bind "$T" "./$T"
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  # A kernel that has both kinds of control groups: the new kind is hidden, because crun takes such a mixture for broken.
  mount --rbind /sys/fs/cgroup sys/fs/cgroup && { umount sys/fs/cgroup/unified 2>/dev/null || true; }
  mount --rbind /dev dev
  mount -t tmpfs -o mode=1777 none tmp
  mount -t tmpfs -o mode=755 none "./$T/dev" && mknod -m 666 "./$T/dev/tun" c 10 200 && mknod -m 666 "./$T/dev/fuse" c 10 229
  mkdir -p dev/net
  [ -e dev/net/tun ] || touch dev/net/tun
  mount --bind "./$T/dev/tun" dev/net/tun && { [ ! -e dev/fuse ] || mount --bind "./$T/dev/fuse" dev/fuse; }
  printf 'nameserver %s\n' $GATE4 >etc/resolv.conf
  printf '127.0.0.1 localhost\n::1 localhost\n' >etc/hosts
  pivot_root . old && cd / && umount -l /old || exit 1
  mount --make-rshared /
  useradd --no-create-home --home-dir "$T/home" --shell /bin/bash --uid 4713 tester || exit 1
  grep -q '^tester:' /etc/subuid || { echo tester:200000:65536 | tee -a /etc/subuid >>/etc/subgid; }
  install -d -m 700 -o tester -g tester "$T/run" "$T/home"
  local words=()
  for name in HWP_COUNT HWP_SECONDS HWP_PASTA HWP_BATS HWP_FILTER HWP_SHELL HWP_TRACE; do [ -n "${!name:-}" ] && words+=("$name=${!name}"); done
  setpriv --reuid tester --regid tester --init-groups --reset-env env T="$T" PATH="$T/bin:$PATH" "${words[@]}" LANG=C.UTF-8 USER=tester \
    XDG_RUNTIME_DIR="$T/run" HOME="$T/home" bash "$T/containers_pasta.sh" --inside "$@"
}

# ----------------------------------------------------------------------------------------------------------- inside

fail() {
  echo "$*"
  exit 1
}

# same WHAT HAVE WANT
same() { [ "$2" = "$3" ] || fail "$1 is \"$2\" and not \"$3\""; }
has() { case $2 in *"$3"*) ;; *) fail "$1 lacks \"$3\": $2" ;; esac; }
lacks() { case $2 in *"$3"*) fail "$1 has \"$3\": $2" ;; *) ;; esac; }

# until_true SECONDS COMMAND…
until_true() {
  # A busy machine needs longer.
  local end=$((SECONDS + 3 * $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { ps -f -u "$(id -u)"; fail "waited in vain: $*"; }
    sleep 0.1
  done
}

# The process ids of the gateways of this user.
gateways() { pgrep -u "$(id -u)" -f '(^|[/ ])pasta(\.avx2)? -'; }
no_gateway() { [ -z "$(gateways)" ]; }

pod() { podman run --rm --quiet "$@"; }
# fetch ADDRESS[:PORT]: in a container, the digest of the file there.
fetch() { echo "wget -T 10 -q -O - http://$1/file | sha256sum | cut -c 1-64"; }
DIGEST=
# A server of a container, for both families: TCP on 80 and 81 says who asks, UDP on 7000 says it again.
SERVE='for p in 80 81; do socat TCP6-LISTEN:$p,ipv6only=0,fork,reuseaddr SYSTEM:"read -r line; echo \$line from \$SOCAT_PEERADDR" & done; socat -b 65536 UDP6-RECVFROM:7000,ipv6only=0,fork EXEC:cat & wait'
# ask_tcp ADDRESS:PORT, ask_udp ADDRESS:PORT
ask_tcp() { echo hello | timeout 10 socat -t 5 - "TCP:$1" 2>&1; }
ask_udp() { echo hello | timeout 10 socat -t 1 - "UDP:$1" 2>/dev/null | head -n 1; }
tcp_answers() { ask_tcp "$1" | grep -q 'hello from'; }
udp_answers() { [ "$(ask_udp "$1")" = hello ]; }
silent() { ! tcp_answers "$1"; }
# server NAME OPTION…: a container with this server.
server() {
  local name=$1
  shift
  podman run -d -q --name "$name" "$@" base sh -c "$SERVE" >/dev/null || fail "no container"
}
gone() {
  podman rm -f -t 0 "$@" >/dev/null
  until_true 10 no_gateway
}

# How the program behaves towards its callers, without any of them.
part_command() {
  # What it prints Debian's loses where the output is no terminal, and so no caller reads it.
  pasta --version >/dev/null || fail "no version"
  has "an unknown option" "$(pasta --no-such-option 2>&1)" "unrecognized option '--no-such-option'"
  pasta --no-such-option >/dev/null 2>&1
  same "its exit code" $? 1
  pasta --quiet --config-net -- sh -c 'exit 7'
  same "the command's exit code" $? 7
  has "the command's address" "$(pasta --quiet --config-net -- ip addr show eth0)" "inet $HOST4/24"
  # For another namespace: it returns when the interface is there, and whoever reads its output sees that end.
  unshare -r -n sleep 1000 & local holder=$! pid
  until_true 10 other_network $holder
  mkfifo "$T/run/out"
  timeout 30 cat "$T/run/out" >"$T/run/said" & local reader=$!
  pasta --quiet --config-net --pid "$T/run/pasta.pid" $holder >"$T/run/out" 2>&1 </dev/null
  same "the exit code" $? 0
  wait $reader || fail "it still holds its output"
  same "what it said" "$(cat "$T/run/said")" ""
  pid=$(cat "$T/run/pasta.pid")
  same "the interface" "$(in_net $holder ip -br addr show eth0 | grep -o "$HOST4/24")" "$HOST4/24"
  kill -TERM "$pid"
  until_true 10 dead "$pid"
  kill $holder
  # nsjail's words, in the foreground. Here nobody waits until the interface is there.
  unshare -r -n sleep 1000 & holder=$!
  until_true 10 other_network $holder
  pasta -f -q --no-dhcp --no-dhcpv6 --no-ra --config-net --no-map-gw -a 10.255.255.2 -n 255.255.255.0 -g 10.255.255.1 -a fc00::2 -g fc00::1 -t none -u none -T none -U none -I eth7 $holder & pid=$!
  until_true 10 in_net $holder sh -c "ip addr show eth7 | grep -q 'inet 10.255.255.2/24'"
  until_true 10 in_net $holder sh -c "ip addr show eth7 | grep -q 'inet6 fc00::2'"
  same "a file of the internet" "$(in_net $holder sh -c "busybox $(fetch $WEB4)")" "$DIGEST"
  kill $holder
  kill $pid 2>/dev/null
  # What cannot be: a line on stderr, and 1.
  has "a namespace that is not there" "$(pasta --config-net --netns /nowhere/ns 2>&1)" "/nowhere/ns"
  pasta --config-net --netns /nowhere/ns 2>/dev/null
  same "its exit code" $? 1
  pasta --quiet 999999 2>/dev/null
  same "the exit code without a process" $? 1
  until_true 10 no_gateway
}
other_network() { [ -n "$(readlink "/proc/$1/ns/net")" ] && [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ] && [ "$(cat "/proc/$1/comm")" = sleep ]; }
in_net() { nsenter -t "$1" -U -n --preserve-credentials "${@:2}"; }
dead() { [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }

part_default() {
  local seen
  seen=$(pod base sh -c 'ip addr show eth0; ip route; cat /etc/resolv.conf')
  has "the interface" "$seen" "inet $HOST4/24"
  has "the interface" "$seen" "mtu 65520"
  has "the routes" "$seen" "default via $GATE4"
  has "resolv.conf" "$seen" "nameserver $DNS"
  same "a file of the internet" "$(pod base sh -c "$(fetch $WEB4)")" "$DIGEST"
  same "who asks" "$(pod base sh -c "socat -t 5 - TCP4:$WEB4:7001 </dev/null")" $HOST4
  same "a datagram" "$(pod base sh -c "echo hello | socat -t 2 - UDP4:$WEB4:7000")" hello
  has "the way to the host's loopback" "$(pod base sh -c "$(fetch $GATE4:$LOCAL)" 2>&1)" "refused"
  pod base false
  same "the exit code" $? 1
  has "ping" "$(pod --cap-add net_raw base ping -c 1 -W 5 $WEB4 2>&1)" " 0% packet loss"
  until_true 10 no_gateway
}

part_options() {
  has "an address" "$(pod --network pasta:-a,10.9.0.5,-n,24,-g,10.9.0.1 base sh -c 'ip addr; ip route')" "inet 10.9.0.5/24"
  has "a gateway" "$(pod --network pasta:--address,10.9.0.5,--netmask,24,--gateway,10.9.0.1 base ip route)" "default via 10.9.0.1"
  same "the file" "$(pod --network pasta:-a,10.9.0.5,-n,24,-g,10.9.0.1 base sh -c "$(fetch $WEB4)")" "$DIGEST"
  has "an interface" "$(pod --network pasta:-I,myname,--ns-mac-addr,9a:dd:31:ea:92:98 base ip link show myname)" 9a:dd:31:ea:92:98
  has "the MTU" "$(pod --network pasta:-m,1280 base ip link show eth0)" "mtu 1280"
  lacks "IPv6 alone" "$(pod --network pasta:-6 base ip addr show eth0)" "inet $HOST4"
  lacks "IPv4 alone" "$(pod --network pasta:-4 base ip addr show eth0)" "inet6 $HOST6"
  same "the host's loopback by the gateway" "$(pod --network pasta:--map-gw base sh -c "$(fetch $GATE4:$LOCAL)")" "$DIGEST"
  same "the host's loopback by an address" "$(pod --network pasta:--map-host-loopback,10.77.0.7 base sh -c "$(fetch 10.77.0.7:$LOCAL)")" "$DIGEST"
  lacks "TCP switched off" "$(pod --network pasta:--no-tcp base sh -c "socat -t 5 - TCP4:$WEB4:7001,connect-timeout=3 && echo connected" 2>&1 </dev/null)" connected
  has "the remedy of a wrong option" "$(pod --network pasta:--no-such base true 2>&1)" "--no-such"
  has "no protocol" "$(pod --network pasta -p 8000:8000/sctp base true 2>&1)" "can't forward protocol: sctp"
  until_true 10 no_gateway
}

part_bridge() {
  podman network create --ipv6 n1 >/dev/null || fail "no network"
  server web --network n1 -p 127.0.0.1:8000:80 -p 8001:81 -p 8002:7000/udp
  same "the neighbour by name" "$(pod --network n1 base sh -c "echo hello | socat -t 5 - TCP4:web:80" | cut -d ' ' -f 1)" hello
  same "a file of the internet" "$(pod --network n1 base sh -c "$(fetch $WEB4)")" "$DIGEST"
  same "the same over IPv6" "$(pod --network n1 base sh -c "$(fetch "[$WEB6]")")" "$DIGEST"
  same "the same by name" "$(pod --network n1 base sh -c "$(fetch web.test)")" "$DIGEST"
  same "the host by its name" "$(pod --network n1 base sh -c "$(fetch host.containers.internal:$EVERY)")" "$DIGEST"
  until_true 10 tcp_answers 127.0.0.1:8000
  until_true 10 tcp_answers $HOST4:8001
  until_true 10 udp_answers 127.0.0.1:8002
  # What masquerades is nft's.
  has "the rules" "$(podman unshare --rootless-netns nft list ruleset 2>&1)" masquerade
  podman network create n2 >/dev/null
  podman network connect n2 web || fail "no second network"
  same "a neighbour in the second" "$(pod --network n2 base sh -c "echo hello | socat -t 5 - TCP4:web:80" | cut -d ' ' -f 1)" hello
  gone web
  podman network rm n1 n2 >/dev/null
}

part_published() {
  server p1 -p 8000:80 -p 127.0.0.1:8001:80 -p "[::1]:8002:80" -p 8003-8004:80-81 -p $HOST4:8005:80 -p 127.0.0.1::80 -p 8006:7000/udp -p 127.0.0.1:8007:7000/udp -p 8008:80/tcp
  local at
  for at in 127.0.0.1:8000 $HOST4:8000 "[::1]:8000" "[$HOST6]:8000" 127.0.0.1:8001 "[::1]:8002" 127.0.0.1:8003 127.0.0.1:8004 $HOST4:8005 127.0.0.1:8008 \
    "$(podman port p1 80/tcp | grep '^127.0.0.1:' | grep -v 8001 | head -n 1)"; do
    until_true 10 tcp_answers "$at"
  done
  for at in 127.0.0.1:8006 $HOST4:8006 "[::1]:8006" 127.0.0.1:8007; do until_true 10 udp_answers "$at"; done
  for at in $HOST4:8001 "[$HOST6]:8001" 127.0.0.1:8002 127.0.0.1:8005; do silent "$at" || fail "$at answers"; done
  # Each address that a client has come from is what the server sees, but for those that a gateway must stand in for.
  has "who asks" "$(ask_tcp $HOST4:8000)" "hello from"
  # Twice the same port: refused, and what was there goes on.
  podman run -d -q --name p2 -p 8000:80 base sleep 10 >/dev/null 2>"$T/run/twice" && fail "a port was given twice"
  has "the refusal" "$(cat "$T/run/twice")" 8000
  podman rm -f -t 0 p2 >/dev/null 2>&1
  until_true 10 tcp_answers 127.0.0.1:8000
  # Bytes: both ways, with half-close.
  podman exec -d p1 sh -c 'socat -u TCP-LISTEN:90,reuseaddr SYSTEM:"sha256sum > /tmp/digest"'
  gone p1
  silent 127.0.0.1:8000 || fail "the port is still there"
  podman run -d -q --name p3 -p 8009:90 base socat TCP-LISTEN:90,fork SYSTEM:'sha256sum' >/dev/null
  until_true 10 sh -c "echo x | socat -t 5 - TCP4:127.0.0.1:8009 | grep -q -- -"
  same "what the server got until the end" "$(socat -t 20 - TCP4:127.0.0.1:8009 <"$T/www/file" | cut -c 1-64)" "$DIGEST"
  gone p3
}

# echoes ADDRESS PORT: how many of 100 datagrams of each size came back as they were sent.
echoes() {
  python3 - "$@" <<'END'
import os, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
right = 0
with socket.socket(family, socket.SOCK_DGRAM) as s:
    s.settimeout(5)
    s.connect((sys.argv[1], int(sys.argv[2])))
    for size in (1, 512, 1472, 8972):
        for _ in range(25):
            data = os.urandom(size)
            s.send(data)
            try:
                right += s.recv(65536) == data
            except OSError:
                pass
print(right)
END
}
part_udp() {
  server u1 -p 8000:7000/udp
  until_true 10 udp_answers 127.0.0.1:8000
  local at
  for at in 127.0.0.1 $HOST4 ::1 $HOST6; do same "the echoes by $at" "$(echoes $at 8000)" 100; done
  gone u1
  # From inside, many at once, one socket each.
  same "the echoes from inside" "$(pod base sh -c "for i in \$(seq 50); do (echo \$i | socat -t 8 - UDP4:$WEB4:7000) & done; wait" | sort -n | tr '\n' ' ')" "$(seq -s ' ' 50) "
  until_true 10 no_gateway
}

part_keepid() {
  same "the file" "$(pod --userns=keep-id base sh -c "$(fetch $WEB4)")" "$DIGEST"
  same "the user" "$(pod --userns=keep-id base id -u)" "$(id -u)"
  server k1 --userns=keep-id --cap-add net_bind_service -p 8000:7000/udp -p 8001:81
  until_true 10 udp_answers 127.0.0.1:8000
  gone k1
}

part_pod() {
  podman pod create --name pod1 -p 127.0.0.1:8000:80 >/dev/null || fail "no pod"
  server one --pod pod1
  same "the neighbour on loopback" "$(pod --pod pod1 base sh -c 'echo hello | socat -t 5 - TCP4:127.0.0.1:80' | cut -d ' ' -f 1)" hello
  same "the file" "$(pod --pod pod1 base sh -c "$(fetch $WEB4)")" "$DIGEST"
  until_true 10 tcp_answers 127.0.0.1:8000
  podman pod stop -t 0 pod1 >/dev/null
  until_true 10 no_gateway
  podman pod start pod1 >/dev/null || fail "the pod does not start again"
  until_true 10 tcp_answers 127.0.0.1:8000
  podman pod rm -f -t 0 pod1 >/dev/null
  until_true 10 no_gateway
}

part_dns() {
  has "the answer" "$(pod base nslookup -type=a web.test $DNS 2>&1)" $WEB4
  has "the answer of the resolver that is told" "$(pod base nslookup web.test 2>&1)" $WEB4
  has "the C library's" "$(pod base getent ahostsv4 web.test)" $WEB4
  same "the file" "$(pod base sh -c "$(fetch web.test)")" "$DIGEST"
  has "another server" "$(pod --network pasta:--dns-forward,198.51.100.1 base cat /etc/resolv.conf)" "nameserver 198.51.100.1"
  has "its answer" "$(pod --network pasta:--dns-forward,198.51.100.1 base nslookup -type=a web.test 198.51.100.1 2>&1)" $WEB4
  has "the answer for IPv6" "$(pod base nslookup -type=aaaa six.test $DNS 2>&1)" $WEB6
  until_true 10 no_gateway
}

part_host() {
  has "hosts" "$(pod base cat /etc/hosts)" "$HOST"
  same "the file of the host" "$(pod base sh -c "$(fetch host.containers.internal:$EVERY)")" "$DIGEST"
  same "the same by address" "$(pod base sh -c "$(fetch $HOST:$EVERY)")" "$DIGEST"
  has "what listens on the host's loopback alone" "$(pod base sh -c "$(fetch $HOST:$LOCAL)" 2>&1)" refused
  # Its siblings stay closed: cloud metadata, for one.
  lacks "an address beside it" "$(pod base sh -c "socat -t 3 - TCP4:169.254.169.254:80,connect-timeout=3 && echo connected" 2>&1 </dev/null)" connected
  until_true 10 no_gateway
}

part_ipv6() {
  has "the interface" "$(pod base ip addr show eth0)" "inet6 $HOST6/64"
  has "the route" "$(pod base ip -6 route)" "default via $GATE6"
  same "a file of the internet" "$(pod base sh -c "$(fetch "[$WEB6]")")" "$DIGEST"
  same "by name" "$(pod base sh -c "$(fetch six.test)")" "$DIGEST"
  same "a datagram" "$(pod base sh -c "echo hello | socat -t 2 - 'UDP6:[$WEB6]:7000'")" hello
  has "ping" "$(pod --cap-add net_raw base ping -c 1 -W 5 $WEB6 2>&1)" " 0% packet loss"
  same "with IPv6 alone" "$(pod --network pasta:-6 base sh -c "$(fetch "[$WEB6]")")" "$DIGEST"
  until_true 10 no_gateway
}

# The loopback of the container towards the host's, and the other way round.
part_loopback() {
  same "the host's port on the container's loopback" "$(pod --network pasta:-T,$LOCAL base sh -c "$(fetch 127.0.0.1:$LOCAL)")" "$DIGEST"
  same "the same over IPv6" "$(pod --network pasta:-T,$LOCAL base sh -c "$(fetch "[::1]:$LOCAL")")" "$DIGEST"
  same "a datagram" "$(pod --network pasta:-U,$LOCAL base sh -c "echo hello | socat -t 2 - UDP4:127.0.0.1:$LOCAL")" hello
  same "with auto" "$(pod --network pasta:-T,auto base sh -c "$(fetch 127.0.0.1:$LOCAL)")" "$DIGEST"
  has "any other port" "$(pod --network pasta:-T,$LOCAL base sh -c "$(fetch 127.0.0.1:$EVERY)" 2>&1)" refused
  until_true 10 no_gateway
}

# Ports that follow what listens.
part_auto() {
  podman run -d -q --name a1 --network pasta:-t,auto,-u,auto base sleep 1000 >/dev/null || fail "no container"
  podman exec -d a1 sh -c 'echo $$ >/tmp/pid; exec socat TCP-LISTEN:8300,fork,reuseaddr SYSTEM:"read -r line; echo \$line from \$SOCAT_PEERADDR"'
  podman exec -d a1 socat UDP-RECVFROM:8301,fork EXEC:cat
  until_true 10 tcp_answers 127.0.0.1:8300
  until_true 10 udp_answers 127.0.0.1:8301
  podman exec a1 sh -c 'kill $(cat /tmp/pid)'
  until_true 10 silent 127.0.0.1:8300
  gone a1
}

# What listens on the container's loopback alone, from the host's.
part_inner() {
  # A caller asks first whether this pasta has it.
  pasta --host-lo-to-ns-lo --version >/dev/null || fail "no version"
  podman run -d -q --name i1 --network pasta:-t,auto,--host-lo-to-ns-lo base sleep 1000 >/dev/null || fail "no container"
  podman exec -d i1 socat TCP-LISTEN:8302,bind=127.0.0.1,fork,reuseaddr SYSTEM:"read -r line; echo \$line from \$SOCAT_PEERADDR"
  until_true 10 tcp_answers 127.0.0.1:8302
  silent $HOST4:8302 || fail "it answers on another address"
  gone i1
  # A port that is named, too.
  podman run -d -q --name i2 --network pasta:-t,8303,--host-lo-to-ns-lo base \
    socat TCP-LISTEN:8303,bind=127.0.0.1,fork,reuseaddr SYSTEM:"read -r line; echo \$line from \$SOCAT_PEERADDR" >/dev/null || fail "no container"
  until_true 10 tcp_answers 127.0.0.1:8303
  same "as whom it sees its client" "$(echo hello | socat -t 5 - TCP4:127.0.0.1:8303)" "hello from 127.0.0.1"
  silent $HOST4:8303 || fail "it answers on another address"
  gone i2
}

part_rules() {
  case $HWP_PASTA in "$T"/*) ;; *) echo "pasta has none"; return ;; esac
  local rules=$T/run/rules.txt audit=$T/run/audit.jsonl
  rm -f "$audit"
  echo "allow tcp:$WEB4:80" >"$rules"
  export HAWSER_RULES=$rules HAWSER_AUDIT=$audit
  same "what is allowed" "$(pod base sh -c "$(fetch $WEB4)")" "$DIGEST"
  has "what is not on the list" "$(pod base sh -c "socat -t 5 - TCP4:$WEB4:7001,connect-timeout=5" </dev/null 2>&1)" refused
  until_true 10 no_gateway
  # Two containers have appended to one file, each from its start to its end.
  same "the audit" "$(grep -o '"event":"[a-z]*"' "$audit" | cut -d '"' -f 4 | tr '\n' ' ')" "start open close end start refuse end "
  echo "allow tcp:web.test:80" >"$rules"
  same "the file by name" "$(pod base sh -c "$(fetch web.test)")" "$DIGEST"
  has "another name" "$(pod base sh -c "$(fetch other.test)" 2>&1)" "bad address"
  podman network create n3 >/dev/null
  same "the file by name, in a network" "$(pod --network n3 base sh -c "$(fetch web.test)")" "$DIGEST"
  has "another address, in a network" "$(pod --network n3 base sh -c "socat -t 5 - TCP4:$WEB4:7001,connect-timeout=5" </dev/null 2>&1)" refused
  podman network rm n3 >/dev/null
  until_true 10 no_gateway
  echo "allow 10.0.0.0/99" >"$rules"
  has "a bad rule" "$(pod base true 2>&1)" "rules.txt:1: bad rule"
  until_true 10 no_gateway
}

part_endings() {
  local how
  for how in "stop -t 0" "kill" "rm -f -t 0"; do
    server e1 -p 8000:80
    until_true 10 tcp_answers 127.0.0.1:8000
    # shellcheck disable=SC2086
    podman $how e1 >/dev/null || fail "podman $how"
    until_true 10 no_gateway
    silent 127.0.0.1:8000 || fail "the port is still there"
    podman rm -f -t 0 e1 >/dev/null 2>&1
  done
}

part_restart() {
  server e2 -p 8000:80
  podman restart -t 0 e2 >/dev/null || fail "restart"
  same "the file" "$(podman exec e2 sh -c "$(fetch $WEB4)")" "$DIGEST"
  until_true 10 tcp_answers 127.0.0.1:8000
  gone e2
}

part_killed() {
  server k1 -p 8000:80
  until_true 10 tcp_answers 127.0.0.1:8000
  gateways | xargs kill -KILL
  until_true 10 no_gateway
  podman exec k1 true || fail "the container has ended with its gateway"
  silent 127.0.0.1:8000 || fail "the port is still there"
  podman rm -f -t 0 k1 >/dev/null || fail "the container cannot be removed"
  server k1 -p 8000:80
  until_true 10 tcp_answers 127.0.0.1:8000
  gone k1
}

part_buildah() {
  mkdir -p "$T/run/build" && printf 'FROM localhost/base\nRUN %s > /digest\nRUN ip addr show eth0 > /eth0\n' "$(fetch web.test)" >"$T/run/build/Dockerfile"
  buildah bud -q --no-cache -t built "$T/run/build" >"$T/run/build.log" 2>&1 || fail "$(cat "$T/run/build.log")"
  same "the file" "$(pod --network none built cat /digest)" "$DIGEST"
  has "the interface" "$(pod --network none built cat /eth0)" "inet $HOST4/24"
  podman build -q --no-cache -t built "$T/run/build" >"$T/run/build.log" 2>&1 || fail "$(cat "$T/run/build.log")"
  same "the file of podman build" "$(pod --network none built cat /digest)" "$DIGEST"
  until_true 10 no_gateway
}

# kit OPTION…: a container of rootlesskit, and a port that it listens on.
kit() {
  local state=$T/run/kit kit
  rm -rf "$state" "$T/run/kit.log"
  echo "rootlesskit $*"
  rootlesskit --net=pasta --mtu=65520 --copy-up=/etc --disable-host-loopback --state-dir "$state" --port-driver implicit "$@" sh -c '
    nsenter=
    [ -z "${ROOTLESSKIT_STATE_DIR:-}" ] || [ ! -e "$ROOTLESSKIT_STATE_DIR/netns" ] || nsenter="nsenter --net=$ROOTLESSKIT_STATE_DIR/netns"
    # This rootlesskit does not wait for pasta.
    for i in $(seq 100); do $nsenter ip addr show tap0 | grep -q LOWER_UP && break; sleep 0.1; done
    $nsenter ip addr; $nsenter busybox '"$(fetch $WEB4)"'; echo ready
    exec $nsenter socat TCP-LISTEN:8400,fork,reuseaddr SYSTEM:"read -r line; echo \$line from \$SOCAT_PEERADDR"' >"$T/run/kit.log" 2>&1 & kit=$!
  until_true 10 kit_ready $kit
  has "the interface" "$(cat "$T/run/kit.log")" "inet 10.0.2.100/24"
  has "the file" "$(cat "$T/run/kit.log")" "$DIGEST"
  until_true 15 tcp_answers 127.0.0.1:8400
  kill "$(cat "$state/child_pid")"
  wait
  until_true 10 no_gateway
}
kit_ready() { grep -qsx ready "$T/run/kit.log" || ! kill -0 "$1" 2>/dev/null; }
part_rootlesskit() { kit && kit --detach-netns && kit --ipv6; }

# What lies around: files and sockets of gateways and namespaces, processes of this user, mounts that it sees.
remains() {
  find "$XDG_RUNTIME_DIR" /tmp -maxdepth 3 -user "$(id -u)" \( -iname '*pasta*' -o -iname '*hawser*' -o -path '*/netns/*' \) 2>/dev/null | sort
  # Zombies are whoever's who is to reap them, and that is not every machine's first process.
  ps -o stat=,comm= -u "$(id -u)" | awk '$1 !~ /^Z/ && $2 !~ /^(ps|sort|find|awk|uniq|bash)$/ { print $2 }' | sort | uniq -c
  wc -l </proc/self/mountinfo
}

part_many() {
  local count=${HWP_COUNT:-200} i before
  pod base true
  until_true 10 no_gateway
  before=$(remains)
  for i in $(seq "$count"); do pod base true || fail "container $i"; done
  until_true 10 no_gateway
  same "what remains" "$(remains)" "$before"
}

# speed_of ADDRESS [-R]: Mbit/s of a transfer to or from a server there.
speed_of() { pod base iperf3 -t "${HWP_SECONDS:-5}" -f m -c "$@" | awk '/receiver/ { print int($7) }'; }
# speed_in ADDRESS: Mbit/s of one into a container, by a published port.
speed_in() {
  podman run -d -q --name s1 -p 8000:5201 base iperf3 -s >/dev/null
  sleep 1
  iperf3 -c "$1" -p 8000 -t "${HWP_SECONDS:-5}" -f m | awk '/receiver/ { print int($7) }'
  podman rm -f -t 0 s1 >/dev/null
}
# median COMMAND…: milliseconds, of seven.
median() {
  local began i
  for i in 1 2 3 4 5 6 7; do
    began=$(date +%s%N)
    "$@" >/dev/null 2>&1
    echo $((($(date +%s%N) - began) / 1000000))
  done | sort -n | sed -n 4p
}

part_speed() {
  local round program
  for round in 1 2 3; do
    for program in "$HWP_PASTA" /usr/bin/pasta; do
      ln -sfn "$program" "$T/run/helpers/pasta"
      echo "round $round of $program: to the host $(speed_of $HOST), from it $(speed_of $HOST -R), to the internet $(speed_of $WEB4), from it $(speed_of $WEB4 -R), to a published port $(speed_in $HOST4), by loopback $(speed_in 127.0.0.1) Mbit/s, podman run $(median pod base true) ms, pasta true $(median "$program" --quiet --config-net -- true) ms" >&3
    done
  done
  ln -sfn "$HWP_PASTA" "$T/run/helpers/pasta"
}

# podman's own tests of pasta, with an image of the name that they ask for.
part_bats() {
  local name=quay.io/libpod/testimage:20241011 code
  podman tag localhost/base $name
  cd "$T/bats" || fail "HWP_BATS is not podman's test/system"
  PODMAN=/usr/bin/podman timeout 3000 bats ${HWP_FILTER:+--filter "$HWP_FILTER"} 505-networking-pasta.bats >&3 2>&3
  code=$?
  # They remove every other image.
  podman image exists localhost/base || podman tag $name localhost/base
  return $code
}

# HWP_SHELL as the user, for looking at something.
part_shell() { bash -c "$HWP_SHELL" >&3 2>&3; }

inside() {
  local part began failed=0
  cd "$HOME" || exit 1
  mkdir -p "$HOME/.config/containers" "$T/run/helpers"
  ln -s "$HWP_PASTA" "$T/run/helpers/pasta"
  export PATH="$T/run/helpers:$PATH" PODMAN_IGNORE_CGROUPSV1_WARNING=1 STORAGE_DRIVER=overlay
  cat >"$HOME/.config/containers/containers.conf" <<END
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
helper_binaries_dir = ["$T/run/helpers", "/usr/libexec/podman", "/usr/lib/podman", "/usr/bin"]
[network]
firewall_driver = "nftables"
END
  podman info >/dev/null 2>&1 || export STORAGE_DRIVER=vfs
  podman import -q "$T/image.tar" localhost/base >/dev/null || exit 1
  DIGEST=$(sha256sum <"$T/www/file" | cut -c 1-64)
  for part in "$@"; do
    began=$(date +%s%N)
    if (set -u; [ -z "${HWP_TRACE:-}" ] || set -x; "part_$part") 3>&1 >"$T/run/log" 2>&1; then
      echo "ok      $part $((($(date +%s%N) - began) / 1000000)) ms"
    else
      failed=1
      echo "FAILED  $part: $(tail -n 20 "$T/run/log")"
      podman rm -a -f -t 0 >/dev/null 2>&1
      podman pod rm -a -f -t 0 >/dev/null 2>&1
      podman network prune -f >/dev/null 2>&1
    fi
  done
  return $failed
}

case ${1:-} in
  --machine) shift && machine "$@" ;;
  --inside) shift && inside "$@" ;;
  *)
    # shellcheck disable=SC2086
    [ $# -gt 0 ] || set -- $PARTS
    outside "$@"
    ;;
esac
