"""The authorities of the benchmarks and the certificate of its one TLS origin (P-256), made by openssl."""

import subprocess


def run(folder, *command):
    done = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise SystemExit("bench: openssl: " + done.stderr)


def make(folder, host):
    """ca, rsa (authorities) and origin (for `host`): NAME.pem, NAME.key, and NAME-both.pem with the two; trusted.pem
    holds both authorities. Readable to all: some peers give up root."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256", "-days", "30"]
    run(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=nono bench",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    run(folder, "req", *key[:-2], "-keyout", "origin.key", "-out", "origin.csr", "-subj", f"/CN={host}")
    (folder / "origin.ext").write_text(f"subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\n"
                                       "basicConstraints=CA:FALSE\n")
    run(folder, "x509", "-req", "-in", "origin.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
        "-extfile", "origin.ext", "-out", "origin.pem")
    run(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30", "-keyout", "rsa.key", "-out", "rsa.pem",
        "-subj", "/CN=nono bench RSA", "-addext", "basicConstraints=critical,CA:TRUE")
    (folder / "trusted.pem").write_text((folder / "ca.pem").read_text() + (folder / "rsa.pem").read_text())
    for name in ("ca", "rsa", "origin"):
        both = folder / f"{name}-both.pem"
        both.write_text((folder / f"{name}.pem").read_text() + (folder / f"{name}.key").read_text())
    for file in folder.iterdir():
        file.chmod(0o644)
    (folder / "ca.key").chmod(0o600)
