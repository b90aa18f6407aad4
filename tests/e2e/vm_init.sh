#!/bin/busybox sh
# PID 1 of the virtual machine of vm_test.ts: what it finds goes to the console, a line a finding. `hawser_ports=A,B,C,D,E`
# on the kernel's command line names ports of the gateway: guest first, host first, control, and the first two over IPv6.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc && mount -t sysfs none /sys && mount -t devtmpfs none /dev
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net; do
  [ -f "/modules/$module.ko" ] && { insmod "/modules/$module.ko" || echo "FAILED insmod $module"; }
done
ports=$(sed 's/.*hawser_ports=\([0-9,]*\).*/\1/' /proc/cmdline)
guest_first=$(echo "$ports" | cut -d , -f 1)
host_first=$(echo "$ports" | cut -d , -f 2)
control=$(echo "$ports" | cut -d , -f 3)
guest_first6=$(echo "$ports" | cut -d , -f 4)
host_first6=$(echo "$ports" | cut -d , -f 5)

# Waits until eth0 has $1 IPv6 addresses of which the kernel has found out that nobody else has them.
settled() {
  for _ in $(seq 300); do
    [ "$(awk '$6 == "eth0" && $5 ~ /^[0-389ab]/' /proc/net/if_inet6 | wc -l)" = "$1" ] && return
    sleep 0.1
  done
  echo "FAILED to settle $1 addresses"
}

ip link set lo up
ip link set eth0 up

udhcpc -i eth0 -n -q -t 5 -s /udhcpc.sh >/dev/null 2>&1 || echo "FAILED udhcpc"
echo "LEASE $(ip -4 -o addr show dev eth0 | sed 's/.*inet \([0-9./]*\).*/\1/') $(ip route | sed -n 's/default via \([0-9.]*\).*/\1/p') mtu $(cat /sys/class/net/eth0/mtu)"
echo "NAME $(nslookup -type=a name.test | sed -n '/^Name:/,$s/^Address: //p' | tr '\n' ' ')"

# The link-local address, the one that the kernel makes of the router's prefix, and then that of DHCPv6. 08 among the flags
# would say that another has it.
settled 2
dhclient -6 -1 -sf /dhclient.sh -cf /dev/null -lf /tmp/leases -pf /tmp/pid eth0 >/dev/null 2>&1 || echo "FAILED dhclient"
settled 3
echo "LEASE6 $(cat /tmp/lease6)"
echo "ADDRESSES $(awk '$6 == "eth0" { print $1 "/" $5 }' /proc/net/if_inet6 | sort | tr '\n' ' ')"
echo "NAME6 $(nslookup -type=a name.test fd00::3 | sed -n '/^Name:/,$s/^Address: //p' | tr '\n' ' ')"

# FIN of the guest first: the answer begins after it.
echo "GUESTFIRST $(head -c 1048576 /dev/zero | tr '\0' 'g' | nc 10.0.2.2 "$guest_first" | sha256sum)"
echo "GUESTFIRST6 $(head -c 1048576 /dev/zero | tr '\0' 'g' | nc fd00::2 "$guest_first6" | sha256sum)"

# FIN of the host first: what the guest says begins after it.
nc 10.0.2.2 "$host_first" -e /host_first.sh
echo "HOSTFIRST $(cat /tmp/host_first)"
nc fd00::2 "$host_first6" -e /host_first.sh
echo "HOSTFIRST6 $(cat /tmp/host_first)"

# A server of the guest's, for a port that is forwarded to it.
nc -ll -p 80 -e /server.sh &
for _ in $(seq 100); do netstat -ltn | grep -q ':80 ' && break; sleep 0.1; done
netstat -ltn | grep -q ':80 ' || echo "FAILED nc does not listen"

ping -c 1 -W 5 10.0.2.2 >/dev/null && echo "PING answered"
ping6 -c 1 -W 5 fd00::2 >/dev/null && echo "PING6 answered"
echo "READY"
case $(nc 10.0.2.2 "$control" </dev/null) in
reboot) reboot -f ;;
*) poweroff -f ;;
esac
