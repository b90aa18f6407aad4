import { assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "mount", "nc", "socat");

/**
 * A host of its own (192.0.2.1, port 8000 answers "host") with a neighbour behind a veth pair (192.0.2.9, "peer"). Once
 * `$DIR/move` is written, the host takes over the neighbour's address, and writes `$DIR/moved`.
 */
const SURROUNDINGS = `exec unshare -n sh -c '
  ip link set lo up
  unshare -n sleep 120 </dev/null >/dev/null 2>&1 & peer=$!
  until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
  ip link add v0 type veth peer name v1 netns $peer
  ip addr add 192.0.2.1/24 dev v0; ip link set v0 up
  nsenter -t $peer -n sh -c "ip link set lo up; ip addr add 192.0.2.9/24 dev v1; ip link set v1 up"
  nsenter -t $peer -n socat TCP-LISTEN:8000,fork,reuseaddr SYSTEM:"echo peer" </dev/null >/dev/null 2>&1 & first=$!
  nsenter -t $peer -n socat UDP-RECVFROM:8000,fork SYSTEM:"read x; echo peer" </dev/null >/dev/null 2>&1 & third=$!
  socat TCP-LISTEN:8000,fork,reuseaddr SYSTEM:"echo host" </dev/null >/dev/null 2>&1 & second=$!
  socat UDP-RECVFROM:8000,fork SYSTEM:"read x; echo host" </dev/null >/dev/null 2>&1 & fourth=$!
  until nc -z 192.0.2.9 8000 && nc -z 127.0.0.1 8000; do sleep 0.05; done
  # The folder goes with the test, and an end of the test that leaves it must not leave this too.
  await() { left=600; while [ -d "$DIR" ] && [ ! -e "$1" ] && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done; }
  ( await "$DIR/move"
    nsenter -t $peer -n ip addr del 192.0.2.9/24 dev v1
    ip addr add 192.0.2.9/24 dev v0
    [ -d "$DIR" ] && touch "$DIR/moved"
    await "$DIR/over"
    kill $first $second $third $fourth $peer ) </dev/null >/dev/null 2>&1 &
  exec "$@"' sh "$@"`;

/** Asks every way to the host and the neighbour, before and after the neighbour's address has become the host's. */
const COMMAND = `
  ask() { echo "$1 $2: $(nc -w 3 $1 $2 8000 </dev/null)"; }
  for address in 192.0.2.9 192.0.2.1 10.0.2.2; do ask "" $address; done
  echo "-u 192.0.2.9: $(echo x | socat -t 2 - UDP:192.0.2.9:8000,bind=:4000)"
  touch "$DIR/move"
  while [ -d "$DIR" ] && [ ! -e "$DIR/moved" ]; do sleep 0.02; done
  for address in 192.0.2.9 192.0.2.1; do ask "" $address; done
  echo "-u 192.0.2.9: $(echo x | socat -t 1 - UDP:192.0.2.9:8000,bind=:4000 2>/dev/null)"
  touch "$DIR/over"`;

async function ask(options: string[]): Promise<{ lines: string[]; stderr: string }> {
  const folder = await Deno.makeTempDir({ prefix: "hawser-no-host-" });
  try {
    const { code, stdout, stderr } = await hawser(["run", "--dns", "none", ...options, "sh", "-c", COMMAND], {
      env: { DIR: folder },
      around: SURROUNDINGS,
    });
    assertEquals(code, 0, stderr);
    return { lines: stdout.trim().split("\n").map((line) => line.trim()), stderr };
  } finally {
    await Deno.writeTextFile(`${folder}/over`, "");
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: `hawser run --no-host closes every address of the host, those too that it gets later, and no other${reason}`,
  ignore,
  fn: async () => {
    for (const host of ["ffi", "deno"]) {
      const { lines, stderr } = await ask(["--no-host", "--host", host]);
      assertEquals(lines, [
        "192.0.2.9: peer",
        "192.0.2.1:",
        "10.0.2.2:",
        "-u 192.0.2.9: peer",
        "192.0.2.9:",
        "192.0.2.1:",
        "-u 192.0.2.9:",
      ], host);
      assertMatch(stderr, /Refused tcp \S+ > 192\.0\.2\.1:8000 of guest 1: no host, and 192\.0\.2\.1 is an address of/);
    }
  },
});

Deno.test({
  name: `hawser run --no-host-loopback leaves the host's other addresses open, and no option all of them${reason}`,
  ignore,
  fn: async () => {
    const { lines } = await ask(["--no-host-loopback"]);
    assertEquals(lines.slice(0, 3), ["192.0.2.9: peer", "192.0.2.1: host", "10.0.2.2:"]);
    assertEquals(lines.slice(4, 6), ["192.0.2.9: host", "192.0.2.1: host"]);
    assertEquals((await ask([])).lines[2], "10.0.2.2: host");
  },
});
