#!/usr/bin/env bash
# Checks the files in this folder with their own linters and schemas. Those in Python are installed once, below the target
# directory, as requirements.txt says. What is not on this machine is skipped with a message, and with `CI` set it is an error.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${DEPLOY_CHECK_DIR:-$here/../target/deploy-check}
mkdir -p "$work"
work=$(cd "$work" && pwd)
# In the place for temporary files, which every account can enter: pgbouncer runs under another one.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 skipped=0

pass() { passed=$((passed + 1)); echo "ok       $1"; }
skip() {
    echo "skipped  $1"
    skipped=$((skipped + 1))
    if [ -n "${CI:-}" ]; then
        echo "CI is set, and CI must not skip this" >&2
        exit 1
    fi
}
# Debian keeps daemons in sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

with_python() {
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        skip "compose, Kubernetes, Containerfile, Caddyfile, scripts: python3 is not installed (or has no venv)"
        return
    fi
    local bin=$work/venv/bin
    # The programs name the path of their Python, so they do not run if the checkout was moved.
    if ! cmp -s "$here/requirements.txt" "$work/requirements.txt" || ! "$bin/check-jsonschema" --version >/dev/null 2>&1; then
        rm -f "$work/requirements.txt"
        python3 -m venv --clear "$work/venv"
        timeout 300 "$bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
        cp "$here/requirements.txt" "$work/requirements.txt"
    fi

    "$bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec "$here/compose.yaml"
    pass compose.yaml

    local file
    for file in "$here"/kubernetes/{api,config,migrate,network-policy,worker}.yaml; do
        # An unknown kind is only a warning, so that is looked for.
        "$bin/kubernetes-validate" --strict "$file" >"$scratch/kubernetes" 2>&1 || { cat "$scratch/kubernetes" >&2; return 1; }
        if grep -q WARN "$scratch/kubernetes"; then cat "$scratch/kubernetes" >&2; return 1; fi
        pass "kubernetes/$(basename "$file")"
    done
    "$bin/check-jsonschema" --quiet --schemafile "$here/kubernetes/keda.schema.json" "$here/kubernetes/keda.yaml"
    pass kubernetes/keda.yaml
    "$bin/python" - "$here/kubernetes" <<'PYTHON'
import pathlib, sys, yaml
folder = pathlib.Path(sys.argv[1])
listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
there = {f.name for f in folder.glob("*.yaml")} - {"kustomization.yaml", "migrate.yaml"}
assert set(listed) == there, f"kustomization.yaml lists {sorted(listed)}, but there are {sorted(there)}"
PYTHON
    pass kubernetes/kustomization.yaml

    "$bin/hadolint" "$here/Containerfile"
    pass Containerfile

    for file in "$here"/caddy/*; do
        XDG_DATA_HOME=$scratch/data XDG_CONFIG_HOME=$scratch/data "$bin/caddy" validate --adapter caddyfile --config "$file" \
            >"$scratch/caddy" 2>&1 || { cat "$scratch/caddy" >&2; return 1; }
        pass "caddy/$(basename "$file")"
    done

    "$bin/shellcheck" "$here"/*.sh
    pass "*.sh"
    "$bin/python" -m py_compile "$here/drill.py" "$here/upgrade.py"
    rm -rf "$here/__pycache__"
    pass drill.py
}

with_systemd() {
    if ! command -v systemd-analyze >/dev/null; then skip "systemd units: systemd-analyze is not installed"; return; fi
    local unit
    for unit in "$here"/systemd/*.service; do
        # The programs need not be installed here.
        sed 's#^ExecStart=/usr/local/bin/[a-z-]*#ExecStart=/bin/true#' "$unit" >"$scratch/$(basename "$unit" | sed 's/@/@9000/')"
    done
    for unit in "$scratch"/*.service; do
        # It knows all units of the machine and mentions the faults of others, too; ours are named.
        systemd-analyze verify --man=no "$unit" >"$scratch/systemd" 2>&1 || true
        if grep -F "$(basename "$unit")" "$scratch/systemd" >&2; then return 1; fi
        pass "systemd/$(basename "$unit")"
    done
}

with_nginx() {
    if ! command -v nginx >/dev/null || ! command -v openssl >/dev/null; then skip "nginx: nginx or openssl is not installed"; return; fi
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=api.example.org -keyout "$scratch/privkey.pem" \
        -out "$scratch/fullchain.pem" 2>/dev/null
    sed "s#/etc/ssl/cairn/#$scratch/#" "$here/nginx/cairn.conf" >"$scratch/cairn.conf"
    {
        echo "pid $scratch/nginx.pid; error_log stderr; events {}"
        echo "http { access_log off; client_body_temp_path $scratch/body; proxy_temp_path $scratch/proxy;"
        echo "fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u; scgi_temp_path $scratch/s; include $scratch/cairn.conf; }"
    } >"$scratch/nginx.conf"
    nginx -t -q -e stderr -c "$scratch/nginx.conf"
    pass nginx/cairn.conf
}

with_pgbouncer() {
    if ! command -v pgbouncer >/dev/null; then skip "pgbouncer.ini: pgbouncer is not installed"; return; fi
    # It has no check of its own, so it is started, on a port of its own, with a database that is not there.
    local ini=$scratch/pgbouncer.ini as=() port=$((20000 + RANDOM % 10000)) pid
    sed "s#^listen_port.*#listen_port = $port#; s#^auth_file.*#auth_file = $scratch/users#" "$here/pgbouncer/pgbouncer.ini" >"$ini"
    if ! pgbouncer --version | awk 'NR == 1 { split($2, v, "."); exit !(v[1] > 1 || v[2] >= 21) }'; then
        echo "note     pgbouncer.ini: $(pgbouncer --version | head -1) does not know max_prepared_statements, which is left out"
        sed -i '/^max_prepared_statements/d' "$ini"
    fi
    printf 'unix_socket_dir =\n' >>"$ini"
    echo '"cairn_app" "password"' >"$scratch/users"
    # It refuses to be root.
    if [ "$(id -u)" -eq 0 ]; then
        chmod -R a+rX "$scratch"
        as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    fi
    "${as[@]}" pgbouncer "$ini" >"$scratch/pgbouncer.log" 2>&1 &
    pid=$!
    for _ in $(seq 50); do
        grep -qs 'process up' "$scratch/pgbouncer.log" && break
        sleep 0.1
    done
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    # With a setting that it does not know it does not start. Whatever else it complains of is an error here, too.
    if ! grep -q 'process up' "$scratch/pgbouncer.log" || grep -E 'ERROR|FATAL|WARNING' "$scratch/pgbouncer.log" >&2; then
        cat "$scratch/pgbouncer.log" >&2
        return 1
    fi
    pass pgbouncer/pgbouncer.ini
}

with_python
with_systemd
with_nginx
with_pgbouncer
echo "deploy: $passed files checked, $skipped steps skipped"
