/**
 * A virtual machine for tests: QEMU without hardware's help, Debian's cloud kernel, and a busybox for all the rest.
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
 * Makes the initial file system in `folder` and returns its path: busybox, the modules of virtio, and `vm_init.sh` as
 * init.
 */
export async function buildInitramfs(folder: string, kernel: VmKernel): Promise<string> {
  const script = `
    set -e
    cd "$1" && mkdir -p root/bin root/modules root/proc root/sys root/dev root/tmp root/etc && cd root
    cp "$(command -v busybox)" bin/busybox
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
    chmod +x init udhcpc.sh host_first.sh server.sh bin/busybox
    find . | cpio --quiet -o -H newc >../initramfs
    cd .. && rm -r root`;
  const init = decodeURIComponent(new URL("./vm_init.sh", import.meta.url).pathname);
  await shell(script, folder, kernel.modules, init);
  return `${folder}/initramfs`;
}

/** What a virtual machine is started with. */
export interface VmOptions {
  /** The kernel. */
  readonly kernel: VmKernel;
  /** The initial file system. */
  readonly initramfs: string;
  /** QEMU's `-netdev` without `id`: `stream,addr.type=unix,addr.path=/tmp/vm.sock`. */
  readonly netdev: string;
  /** A file for the capture of the network device. */
  readonly capture: string;
  /** Ports for `vm_init.sh`. */
  readonly ports: readonly number[];
}

/** A virtual machine that runs. */
export class Vm implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  #console = "";
  #changed = Promise.withResolvers<void>();

  /** Starts it. */
  constructor({ kernel, initramfs, netdev, capture, ports }: VmOptions) {
    this.#child = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-accel", "tcg", "-cpu", "max", "-m", "256", "-smp", "1"],
        ...["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"],
        ...["-kernel", kernel.image, "-initrd", initramfs],
        ...["-append", `console=ttyS0 quiet panic=-1 hawser_ports=${ports}`],
        ...["-netdev", `${netdev.replace(",", ",id=net,")}`, "-device", "virtio-net-pci,netdev=net,romfile="],
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
