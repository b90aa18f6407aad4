/**
 * `deno task build --install`: the one file, with an empty cache or none, in a network namespace in which nothing but
 * loopback can be reached.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { readOutcome, shell } from "./run_support.ts";

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
const BUILD = ["run", "--quiet", "--allow-read", "--allow-write", "--allow-run", `${ROOT}tools/build.ts`];
const needs = requires("linux", "root", "tun", "unshare", "ip");

/** In namespaces of its own: loopback alone, a /dev/net/tun that everybody may open; then the script as a user. */
const AROUND =
  `ip link set lo up && mount -t tmpfs -o mode=755 none "$ROOM/dev" && mknod -m 666 "$ROOM/dev/tun" c 10 200 &&
  mount --bind "$ROOM/dev/tun" /dev/net/tun && cd / && PATH="$ROOM/bin:$PATH" && exec $AS sh -c "$1"`;

const SCRIPT = `
hawser --version | sed 's/ .*//'
hawser run -D none -- sh -c 'ip -br addr show eth0 | tr -s " " | cut -d " " -f 3; exit 7'
echo "run $?"
hawser run --isolate --host deno -D none -- sh -c 'exit 8' 2>/dev/null
echo "run --isolate --host deno $?"
for words in "serve -D none --listen tcp:127.0.0.1:0" "serve --host deno -D none --listen tcp:127.0.0.1:0" \\
  "forward 127.0.0.1:0 127.0.0.1:9"; do
  log=$(mktemp)
  hawser $words 2>"$log" &
  until grep -q '^listening on' "$log"; do kill -0 $! || break; sleep 0.05; done
  kill -TERM $!
  wait $!
  echo "$words: $?"
  grep -v '^hawser: info: \\|^listening on' "$log"
  rm "$log"
done
hawser demo | tail -n 1
hawser nonsense 2>&1
echo "nonsense $?"
slirp4netns --version 2>&1 | grep -o -m 1 '^slirp4netns'
pasta --version 2>&1 | grep -o -m 1 '^pasta'
pasta --nonsense 2>&1
echo "pasta $?"
pid=$(mktemp)
unshare -r -n sleep 60 & guest=$!
until [ "$(readlink /proc/$guest/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
pasta --config-net --dns none --pid "$pid" $guest 2>&1 | cat
nsenter -t $guest -U -n --preserve-credentials ip -br addr show tap0 | tr -s " " | cut -d " " -f 3
kill $guest
while kill -0 "$(cat "$pid")" 2>/dev/null; do sleep 0.05; done
echo gone
rm "$pid"
`;

const EXPECTED = `hawser
10.0.2.15/24
run 7
run --isolate --host deno 8
serve -D none --listen tcp:127.0.0.1:0: 0
serve --host deno -D none --listen tcp:127.0.0.1:0: 0
forward 127.0.0.1:0 127.0.0.1:9: 0
Every byte arrived, in both directions, whichever side closed first.
hawser: unknown command nonsense, see hawser --help
nonsense 2
slirp4netns
pasta
pasta: unrecognized option '--nonsense'
pasta 1
169.254.2.1/16
gone
`;

/** A folder with a Deno, and Hawser installed with it, once for all tests. */
async function install(): Promise<string> {
  const room = await Deno.makeTempDir({ prefix: "hawser-one-file-" });
  await shell('chmod 755 "$1" && mkdir "$1/dev" "$1/empty" && cp "$2" "$1/deno"', room, Deno.execPath());
  const output = await new Deno.Command(`${room}/deno`, {
    args: [...BUILD, "--install", `${room}/bin`],
  }).output();
  assertEquals(readOutcome(output), {
    code: 0,
    signal: null,
    stdout: `${room}/bin/hawser\n${room}/bin/slirp4netns\n${room}/bin/pasta\n`,
    stderr: "",
  });
  // By a copy it knows its name too.
  await shell('rm "$1/bin/pasta" && cp "$1/bin/hawser" "$1/bin/pasta"', room);
  return room;
}

for (const who of ["root with an empty cache", "an ordinary user who can have no cache"]) {
  Deno.test({
    name: `one file runs without a network, a cache and a checkout, as ${who}${needs.reason}`,
    ignore: needs.ignore,
    async fn() {
      const room = await install();
      try {
        const isRoot = who.startsWith("root");
        const output = await new Deno.Command("unshare", {
          args: ["-n", "-m", "--", "sh", "-c", AROUND, "sh", SCRIPT],
          clearEnv: true,
          env: {
            PATH: Deno.env.get("PATH")!,
            ROOM: room,
            AS: isRoot ? "" : "setpriv --reuid 65534 --regid 65534 --clear-groups --",
            HOME: isRoot ? `${room}/empty` : "/nonexistent",
            NO_COLOR: "1",
          },
          stdin: "null",
        }).output();
        const { stdout, stderr } = readOutcome(output);
        assertEquals([stdout, stderr], [EXPECTED, ""]);
      } finally {
        await Deno.remove(room, { recursive: true });
      }
    },
  });
}

Deno.test({
  name: `one file of dist finds Deno by PATH, and gives up what a command does not need${needs.reason}`,
  ignore: needs.ignore,
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const args = [...BUILD, "--output", folder], built = await new Deno.Command(Deno.execPath(), { args }).output();
      assertEquals(readOutcome(built).code, 0);
      const path = `${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH")}`;
      const run = await new Deno.Command(`${folder}/hawser`, {
        args: ["run", "-D", "none", "--log-level", "debug", "true"],
        env: { PATH: path, NO_COLOR: "1" },
      }).output();
      const { code, stderr } = readOutcome(run);
      assertEquals(code, 0, stderr);
      assertMatch(stderr, /^hawser: debug: Permissions from here on: read, ffi$/m);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
