/** The image of the Dockerfile, built without a registry: its two base images are made of a Debian that lies here. */
import { say, sh } from "./machine.ts";

/** What distroless' cc image holds of it: glibc and its resolver, libgcc, certificates, a user. No shell, nothing that could be run. */
const BASE = `
  mkdir -p base/tmp base/run base/proc base/sys base/dev base/var/tmp base/root base/home/nonroot base/usr/bin base/lib64 \\
    base/lib/x86_64-linux-gnu base/etc/ssl/certs
  chmod 1777 base/tmp base/var/tmp
  cp -L debian/usr/lib64/ld-linux-x86-64.so.2 base/lib64/
  for lib in libc.so.6 libdl.so.2 libm.so.6 libpthread.so.0 librt.so.1 libgcc_s.so.1 libresolv.so.2 libnss_dns.so.2 libnss_files.so.2; do
    cp -L "debian/usr/lib/x86_64-linux-gnu/$lib" base/lib/x86_64-linux-gnu/
  done
  cp -L debian/etc/ssl/certs/ca-certificates.crt base/etc/ssl/certs/
  printf 'root:x:0:0:root:/root:/sbin/nologin\\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\\n' >base/etc/passwd
  printf 'root:x:0:\\nnonroot:x:65532:\\n' >base/etc/group
  tar -cf base.tar -C base .`;

/** The other one: a shell, and deno with its packages, which are bound to it while it builds. */
const BUILD_BASE = `
  tar -cf build.tar -C debian --exclude=./usr/share --exclude=./var --exclude='./usr/lib/python3*' --exclude=./usr/lib/systemd .
  {
    printf 'FROM scratch\\nADD build.tar /\\nENV DENO_DIR=/packages DENORT_BIN=/denort PATH=/usr/bin:/bin\\n'
    [ -z "\${NPM_CONFIG_REGISTRY:-}" ] || printf 'ENV NPM_CONFIG_REGISTRY=%s\\n' "$NPM_CONFIG_REGISTRY"
  } >Dockerfile.build
  printf 'FROM scratch\\nADD base.tar /\\n' >Dockerfile.base`;

/**
 * Builds the Dockerfile as it is and lays the image's files in `work/image`, its settings in `work/image.json`.
 * @param work holds a Debian in `debian`; everything that buildah writes is below it
 * @param binary made of the same source: the image must hold the very same bytes
 * @param denort the script that names deno and its base program
 * @throws when it cannot be built, or holds another program
 */
export async function buildImage(work: string, binary: string, denort: string): Promise<void> {
  const { commit } = JSON.parse(await sh(`"$B" version --json`, { B: binary }));
  await sh(
    `cd "$W"
    ${BASE}
    ${BUILD_BASE}
    build() { timeout 150 buildah --storage-driver vfs --root "$W/store" --runroot "$W/run" build -q --isolation chroot --format docker "$@"; }
    build -f Dockerfile.base -t localhost/timmy-base .
    build -f Dockerfile.build -t localhost/timmy-build .
    packages=$("$DENO" info --json | jq -r .denoDir)
    build --build-arg BASE=localhost/timmy-base --build-arg BUILD_BASE=localhost/timmy-build --build-arg "TIMMY_COMMIT=$COMMIT" \\
      -v "$("$DENORT" deno):/usr/bin/deno:ro" -v "$("$DENORT" path):/denort:ro" -v "$packages:/packages" -t localhost/timmy "$SOURCE"
    storage() { buildah --storage-driver vfs --root "$W/store" --runroot "$W/run" "$@"; }
    storage inspect --type image localhost/timmy | jq .Docker.config >image.json
    cp -a "$(storage mount "$(storage from localhost/timmy)")" image
    cmp image/timmy "$BINARY" || { echo "the image's program is not $BINARY, of commit $COMMIT: was that made of this source?"; exit 1; }`,
    {
      W: work,
      COMMIT: commit,
      BINARY: binary,
      DENO: Deno.execPath(),
      DENORT: denort,
      SOURCE: new URL("..", import.meta.url).pathname,
    },
  );
  say(`ok: buildah makes the Dockerfile's image, of commit ${commit}, and it holds the very bytes of the binary`);
}
