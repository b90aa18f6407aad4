/**
 * A virtual machine for tests: QEMU without hardware's help, and in it either Debian's cloud kernel with a busybox and
 * a dhclient, or the firmware of its network card.
 *
 * The kernel is not installed but unpacked somewhere: `HAWSER_VM_ROOT` names the folder in which `boot` and
 * `lib/modules` are. It is filled by `.ci/run`; CONTRIBUTING.md has the commands.
 *
 * @module
 */
import { shell } from "./run_support.ts";

const MODULES = [
  "virtio_ring",
  "virtio",
  "virtio_pci_legacy_dev",
  "virtio_pci_modern_dev",
  "virtio_pci",
  "failover",
  "net_failover",
  "virtio_net",
];

/** A kernel and its modules. */
export interface VmKernel {
  /** The kernel's image. */
  readonly image: string;
  /** The folder of its modules. */
  readonly modules: string;
}

/** The unpacked kernel; `undefined` where there is none. */
export function findKernel(): VmKernel | undefined {
  const root = Deno.env.get("HAWSER_VM_ROOT");
  if (root === undefined) return undefined;
  try {
    const name = [...Deno.readDirSync(`${root}/boot`)].map((entry) => entry.name).find((name) =>
      name.startsWith("vmlinuz-")
    );
    if (name === undefined) return undefined;
    return { image: `${root}/boot/${name}`, modules: `${root}/lib/modules/${name.slice("vmlinuz-".length)}` };
  } catch {
    return undefined;
  }
}

/**
 * Makes the initial file system in `folder` and returns its path: busybox, dhclient for DHCPv6, the modules of virtio,
 * and `vm_init.sh` as init.
 */
export async function buildInitramfs(folder: string, kernel: VmKernel): Promise<string> {
  const script = `
    set -e
    cd "$1" && mkdir -p root/bin root/modules root/proc root/sys root/dev root/tmp root/etc && cd root
    cp "$(command -v busybox)" bin/busybox
    cp "$(command -v dhclient)" bin/dhclient
    for file in $(ldd bin/dhclient | grep -o '/[^ ]*'); do mkdir -p ".\${file%/*}" && cp "$file" ".$file"; done
    for name in ${MODULES.join(" ")}; do
      file=$(find "$2" -name "$name.ko*" | head -n 1)
      case $file in
        '') ;;
        *.xz) xz -dc "$file" >"modules/$name.ko" ;;
        *) cp "$file" "modules/$name.ko" ;;
      esac
    done
    cp "$3" init
    cat >udhcpc.sh <<'END'
#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
[ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
ip route add default via "$router"
echo "nameserver $dns" >/etc/resolv.conf
END
    cat >dhclient.sh <<'END'
#!/bin/busybox sh
[ "$reason" = BOUND6 ] || exit 0
ip -6 addr add "$new_ip6_address/$new_ip6_prefixlen" dev "$interface"
echo "$new_ip6_address dns $new_dhcp6_name_servers" >/tmp/lease6
END
    cat >host_first.sh <<'END'
#!/bin/busybox sh
sha256sum >/tmp/host_first
sleep 1
head -c 1048576 /dev/zero | tr '\\0' 'h'
END
    cat >server.sh <<'END'
#!/bin/busybox sh
read -r line
echo "hello $line"
END
    chmod +x init udhcpc.sh dhclient.sh host_first.sh server.sh bin/busybox
    find . | cpio --quiet -o -H newc >../initramfs
    cd .. && rm -r root`;
  const init = decodeURIComponent(new URL("./vm_init.sh", import.meta.url).pathname);
  await shell(script, folder, kernel.modules, init);
  return `${folder}/initramfs`;
}

/** What a virtual machine is started with. */
export interface VmOptions {
  /** What it boots, as words for QEMU: `linux` or `FIRMWARE`. */
  readonly boots: readonly string[];
  /** The model of its network card. Default `virtio-net-pci`. */
  readonly card?: string;
  /** QEMU's `-netdev` without `id`: `stream,addr.type=unix,addr.path=/tmp/vm.sock`. */
  readonly netdev: string;
  /** A file for the capture of the network device. */
  readonly capture: string;
}

/** A machine that boots from the network, by the firmware of its card, whose screen is the console. */
export const FIRMWARE: readonly string[] = ["-machine", "graphics=off", "-boot", "n"];

/** A machine that boots `initramfs`, with `ports` for `vm_init.sh`. */
export function linux(kernel: VmKernel, initramfs: string, ports: readonly number[]): readonly string[] {
  const options = ["-append", `console=ttyS0 quiet panic=-1 hawser_ports=${ports}`];
  // Without the card's firmware the machine is up sooner.
  return ["-kernel", kernel.image, "-initrd", initramfs, ...options, "-global", "virtio-net-pci.romfile="];
}

/** What is wrong in a capture: malformed frames and wrong checksums, a line each. */
export async function complaintsAbout(capture: string): Promise<string> {
  const checks = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"].map((name) => `-o ${name}:TRUE`);
  const bad = ["ip", "tcp", "udp", "icmp", "icmpv6"].map((name) => `${name}.checksum.status == "Bad"`).join(" || ");
  // A sum of zero that a guest's Linux writes in its other form is right.
  const right = "tcp.checksum == 0xffff && tcp.checksum_calculated == 0";
  return await shell(
    `tshark -n -r "$1" ${checks.join(" ")} -Y '_ws.malformed || ((${bad}) && !(${right}))' 2>/dev/null`,
    capture,
  );
}

/** A virtual machine that runs. */
export class Vm implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  #console = "";
  #changed = Promise.withResolvers<void>();

  /** Starts it. */
  constructor({ boots, card = "virtio-net-pci", netdev, capture }: VmOptions) {
    this.#child = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-accel", "tcg", "-cpu", "max", "-m", "256", "-smp", "1"],
        ...["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"],
        ...boots,
        ...["-netdev", `${netdev.replace(",", ",id=net,")}`, "-device", `${card},netdev=net`],
        ...["-object", `filter-dump,id=dump,netdev=net,file=${capture}`],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#reading = Promise.all([this.#child.stdout, this.#child.stderr].map((stream) => this.#read(stream)));
  }

  /** What it has written to its console. */
  get console(): string {
    return this.#console;
  }

  /**
   * Resolves when its console holds what `lines` matches `count` times. Throws an `Error` when it ends, or `ms` pass,
   * before.
   */
  async says(lines: RegExp, count: number, ms = 60_000): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<string>((resolve) => timer = setTimeout(() => resolve("time passed"), ms));
    const over = this.#reading.then(() => "it ended");
    try {
      while ((this.#console.match(lines)?.length ?? 0) < count) {
        const why = await Promise.race([this.#changed.promise, over, late]);
        if (why !== undefined && (this.#console.match(lines)?.length ?? 0) < count) {
          throw new Error(`The virtual machine never said ${lines} ${count} times, ${why}: ${this.#console}`);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<void> {
    await this.#reading;
    await this.#child.status;
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.ended();
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.#console += decoder.decode(chunk, { stream: true }).replaceAll("\r", "");
      this.#changed.resolve();
      this.#changed = Promise.withResolvers<void>();
    }
  }
}
