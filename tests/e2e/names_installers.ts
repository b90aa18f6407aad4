/**
 * Tries what docs/recipes.md says of `pip install` and `cargo fetch`: each is learnt and then enforced, against
 * registries of static files in the internet of the tests. It is no test, because no continuous integration should
 * install both; `names_npm_test.ts` is one for npm.
 *
 * ```sh
 * deno run --allow-read --allow-write --allow-run --allow-env --allow-ffi tests/e2e/names_installers.ts
 * ```
 *
 * It needs root, pip and cargo.
 *
 * @module
 */
import { Internet, ZONE } from "./internet.ts";
import { shell } from "./run_support.ts";

/** Below `$1/www`: an index and a wheel for pip, an index and a crate for cargo; a project of each in `$1`. */
const MAKE = `cd "$1" && mkdir -p www/pypi.example/simple/alpha www/files.example www/index.example/al/ph \\
  www/static.example/alpha/1.0.0 crate/src
python3 - <<'END'
import zipfile
with zipfile.ZipFile("www/files.example/alpha-1.0.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("alpha.py", "name = 'alpha'\\n")
    wheel.writestr("alpha-1.0.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: alpha\\nVersion: 1.0.0\\n")
    wheel.writestr("alpha-1.0.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("alpha-1.0.0.dist-info/RECORD", "alpha.py,,\\n")
END
echo '<a href="https://files.example/alpha-1.0.0-py3-none-any.whl">alpha-1.0.0-py3-none-any.whl</a>' \\
  >www/pypi.example/simple/alpha/index.html
mkdir -p alpha-1.0.0/src && touch alpha-1.0.0/src/lib.rs
printf '[package]\\nname = "alpha"\\nversion = "1.0.0"\\n' >alpha-1.0.0/Cargo.toml
tar -czf www/static.example/alpha/1.0.0/download alpha-1.0.0
sum=$(sha256sum www/static.example/alpha/1.0.0/download | cut -d ' ' -f 1)
echo '{"dl":"https://static.example"}' >www/index.example/config.json
echo '{"name":"alpha","vers":"1.0.0","deps":[],"cksum":"'$sum'","features":{},"yanked":false}' >www/index.example/al/ph/alpha
touch crate/src/lib.rs
printf '[package]\\nname = "project"\\nversion = "1.0.0"\\n[dependencies]\\nalpha = "1.0.0"\\n' >crate/Cargo.toml
mkdir crate/.cargo && cat >crate/.cargo/config.toml <<END
[source.crates-io]
replace-with = "own"
[source.own]
registry = "sparse+https://index.example/"
[http]
cainfo = "$1/ca.pem"
END`;

/** What installs, and removes what it has installed before. */
const INSTALLERS: Readonly<Record<string, string>> = {
  pip:
    'export PIP_CONFIG_FILE=/dev/null REQUESTS_CA_BUNDLE="$CA" && rm -rf site && pip install --quiet --retries 0 --no-cache-dir --disable-pip-version-check --target site --cert "$CA" ' +
    "--index-url https://pypi.example/simple/ alpha",
  cargo: 'export CARGO_HOME="$PWD/cargo" && rm -rf cargo crate/Cargo.lock && cd crate && cargo fetch --quiet',
};

if (import.meta.main) {
  const hosts = ["pypi.example", "files.example", "index.example", "static.example"];
  const zone = Object.fromEntries(hosts.map((host, i) => [host, { A: [`93.184.217.${i + 1}`] }]));
  await using internet = await Internet.start({ ...ZONE, ...zone });
  await shell(MAKE, internet.folder);
  for (const [name, command] of Object.entries(INSTALLERS)) {
    const rules = `${internet.folder}/${name}.rules`;
    const run = async (options: readonly string[]) => {
      const { code, stderr } = await internet.run(options, `cd "${internet.folder}" && ${command}`);
      return `exit code ${code}${stderr === "" ? "" : `, ${stderr.trim()}`}`;
    };
    console.log(`${name}, learning: ${await run(["--learn", rules])}`);
    console.log((await Deno.readTextFile(rules)).trim());
    console.log(`${name}, enforced: ${await run(["--rules", rules])}`);
    console.log(
      `${name}, with the first name alone: ${await run(["--allow", `${hosts[name === "pip" ? 0 : 2]}:443`])}\n`,
    );
  }
}
