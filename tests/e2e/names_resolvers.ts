/**
 * Resolvers of a guest that stand between its programs and Hawser's names: each is started behind `hawser run` with a
 * list of names and asked for an allowed name, for one behind a CNAME, and for one that is not on the list. It prints
 * what came of it. It is no test: nobody should install three resolvers and a C library for that (dnsmasq, glibc and
 * busybox are in `names_dns_test.ts`).
 *
 * ```sh
 * mkdir packages && cd packages
 * apt-get download unbound dnsmasq-base systemd-resolved musl musl-dev musl-tools
 * for package in *.deb; do dpkg -x "$package" root; done; cd ..
 * deno run --allow-read --allow-write --allow-run --allow-env --allow-ffi tests/e2e/names_resolvers.ts packages/root
 * ```
 *
 * It needs root, gcc, and the libraries that these packages want.
 *
 * @module
 */
import { Internet, ZONE } from "./internet.ts";
import { PROBE } from "./names_support.ts";

/** What stands between; `$ROOT` is where the packages are. Each ends with `$SERVER` set to whom to ask. */
const RESOLVERS: Readonly<Record<string, string>> = {
  "Hawser alone": "SERVER=10.0.2.3",
  unbound: `cat >unbound.conf <<END
server:
  interface: 127.0.0.1
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  pidfile: ""
  directory: "."
  do-not-query-localhost: no
forward-zone:
  name: "."
  forward-addr: 10.0.2.3
END
    $ROOT/usr/sbin/unbound -d -c unbound.conf 2>unbound.log & SERVER=127.0.0.1`,
  dnsmasq:
    `$ROOT/usr/sbin/dnsmasq -k -C /dev/null -R -S 10.0.2.3 -a 127.0.0.1 -z -u root 2>dnsmasq.log & SERVER=127.0.0.1`,
  "systemd-resolved": `mount -t tmpfs none /run && mkdir -p /run/systemd/resolve conf
    id systemd-resolve >/dev/null 2>&1 || {
      { cat /etc/passwd; echo systemd-resolve:x:0:0::/:/bin/false; } >passwd && mount --bind passwd /etc/passwd; }
    chown systemd-resolve: /run/systemd/resolve
    printf '[Resolve]\\nDNS=10.0.2.3\\nDNSSEC=allow-downgrade\\nLLMNR=no\\nMulticastDNS=no\\n' >conf/resolved.conf
    mkdir -p /etc/systemd && mount --bind conf /etc/systemd
    $ROOT/lib/systemd/systemd-resolved 2>resolved.log & SERVER=127.0.0.53`,
};
/** Programs that resolve by themselves, with Hawser in /etc/resolv.conf; \`$1\` is the name. */
const LIBRARIES: Readonly<Record<string, string>> = {
  glibc: "getent ahosts $1",
  busybox: "busybox nslookup $1 | sed -n '/^Name:/,$p'",
  musl: "./resolve $1",
};
const RESOLVE_C = `#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
int main(int n, char **words) {
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
  int error = getaddrinfo(words[1], 0, &hints, &found);
  if (error) return puts(gai_strerror(error)), 1;
  for (; found; found = found->ai_next) {
    char text[64];
    void *address = found->ai_family == AF_INET ? (void *) &((struct sockaddr_in *) found->ai_addr)->sin_addr
      : (void *) &((struct sockaddr_in6 *) found->ai_addr)->sin6_addr;
    puts(inet_ntop(found->ai_family, address, text, 64));
  }
}`;
/** Asks `$SERVER` until it answers at all, then for the names; a connection shows what the answer has bound. */
const ASK = `import os
exec(open("${PROBE}").read())
server = os.environ["SERVER"]
for _ in range(200):
    if dns("host.hawser.internal", server=server).startswith("NOERROR"): break
    time.sleep(0.05)
for name in ("registry.example", "tenant-a.example", "other.example", "secret.other.example"):
    for kind in (1, 28):
        began = time.perf_counter()
        said = dns(name, kind, server=server)
        print(f"  {name} {'A' if kind == 1 else 'AAAA'}: {said}, {(time.perf_counter() - began) * 1000:.0f} ms")
print("  to tenant-a.example:", http("93.184.216.20", 80, "Host: tenant-a.example"))
print("  to tenant-b.example:", http("93.184.216.20", 80, "Host: tenant-b.example"))
print("  to registry.example over IPv6:", http("2606:2800:220:1::10", 80, "Host: registry.example"))`;

if (import.meta.main) {
  await using internet = await Internet.start();
  const root = Deno.realPathSync(Deno.args[0]!), folder = internet.folder;
  await Deno.writeTextFile(`${folder}/ask.py`, ASK);
  await Deno.writeTextFile(`${folder}/resolve.c`, RESOLVE_C);
  const options = ["--allow", "registry.example:80", "--allow", "tenant-a.example:80"];
  const run = async (name: string, script: string) => {
    await internet.zone(ZONE);
    await internet.forget();
    const outcome = await internet.run(options, `cd ${folder}; ${script}`, { env: { ROOT: root } });
    const asked = (await internet.visits()).filter(({ kind }) => kind === "dns").map(({ text }) => text);
    console.log(`${name}\n${outcome.stdout}  sent on: ${asked.join(", ")}`);
    if (outcome.code !== 0 || /: refused, /.test(outcome.stdout)) console.log(outcome.stderr);
  };
  for (const [name, script] of Object.entries(RESOLVERS)) {
    await run(
      name,
      `${script}; export SERVER; python3 ask.py; tail -n 5 *.log >&2; kill $! 2>/dev/null; true`,
    );
  }
  const compile = `gcc -static -nostdinc -isystem "$ROOT/usr/include/x86_64-linux-musl" -nostdlib -nostartfiles \\
    -o resolve "$ROOT"/usr/lib/x86_64-linux-musl/crt1.o resolve.c "$ROOT"/usr/lib/x86_64-linux-musl/libc.a -lgcc`;
  for (const [name, command] of Object.entries(LIBRARIES)) {
    await run(
      name,
      `${name === "musl" ? compile : ":"}; for name in registry.example tenant-a.example other.example; do set -- $name
        began=$(date +%s%N); out=$({ ${command}; } 2>&1 | tr '\\n' ' '); echo "  $name: $out, $((($(date +%s%N) - began) / 1000000)) ms"
      done`,
    );
  }
}
