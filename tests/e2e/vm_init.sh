#!/bin/busybox sh
# PID 1 of the virtual machine of vm_test.ts: what it finds goes to the console, a line a finding. `hawser_ports=A,B,C` on
# the kernel's command line names ports of the gateway: guest first, host first, control.
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
ip link set lo up
ip link set eth0 up

udhcpc -i eth0 -n -q -t 5 -s /udhcpc.sh >/dev/null 2>&1 || echo "FAILED udhcpc"
echo "LEASE $(ip -4 -o addr show dev eth0 | sed 's/.*inet \([0-9./]*\).*/\1/') $(ip route | sed -n 's/default via \([0-9.]*\).*/\1/p') mtu $(cat /sys/class/net/eth0/mtu)"
echo "NAME $(nslookup -type=a name.test | sed -n '/^Name:/,$s/^Address: //p' | tr '\n' ' ')"

# FIN of the guest first: the answer begins after it.
echo "GUESTFIRST $(head -c 1048576 /dev/zero | tr '\0' 'g' | nc 10.0.2.2 "$guest_first" | sha256sum)"

# FIN of the host first: what the guest says begins after it.
nc 10.0.2.2 "$host_first" -e /host_first.sh
echo "HOSTFIRST $(cat /tmp/host_first)"

# A server of the guest's, for a port that is forwarded to it.
nc -ll -p 80 -e /server.sh &
for _ in $(seq 100); do netstat -ltn | grep -q ':80 ' && break; sleep 0.1; done
netstat -ltn | grep -q ':80 ' || echo "FAILED nc does not listen"

ping -c 1 -W 5 10.0.2.2 >/dev/null && echo "PING answered"
echo "READY"
case $(nc 10.0.2.2 "$control" </dev/null) in
reboot) reboot -f ;;
*) poweroff -f ;;
esac
