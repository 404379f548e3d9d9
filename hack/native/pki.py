"""Keys, certificates and kubeconfigs of one cluster; made once, gone with it."""

import base64
import datetime
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hack.native.layout import CLUSTER_DOMAIN, CONTEXT, NAME, NODE_IP, SERVICE_IP

API_HOSTS = (
    "localhost",
    "127.0.0.1",
    NODE_IP,
    SERVICE_IP,
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
)
# file name -> (common name, organization); each also becomes a kubeconfig.
USERS = {
    "admin": ("trainyard-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "dns": ("system:coredns", ""),
    "kubelet": (f"system:node:{NAME}", "system:nodes"),
}
LIFETIME = datetime.timedelta(days=3650)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, directory: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name, "")
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_usage(sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _store(directory / f"{name}.key", directory / f"{name}.crt", key, certificate)
        return cls(key, certificate)

    def issue(
        self, directory: Path, name: str, common: str, organization: str = "", hosts: tuple[str, ...] = ()
    ) -> None:
        """A certificate for a client and, where it has hosts, for a server too."""
        key = ec.generate_private_key(ec.SECP256R1())
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])
        builder = (
            _builder(_name(common, organization), self.certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        _store(directory / f"{name}.key", directory / f"{name}.crt", key, builder.sign(self.key, hashes.SHA256()))


def create(directory: Path, api_port: int, users: Mapping[str, tuple[str, str]] = USERS) -> None:
    """Write everything the components need into an empty directory."""
    directory.mkdir(mode=0o700, parents=True)
    cluster = Authority.create(directory, "ca")
    cluster.issue(directory, "apiserver", "kube-apiserver", hosts=API_HOSTS)
    cluster.issue(directory, "apiserver-kubelet", "kube-apiserver-kubelet-client")
    cluster.issue(directory, "kubelet-server", NAME, hosts=(NAME, NODE_IP))
    for name, (common, organization) in users.items():
        cluster.issue(directory, name, common, organization)
        write_kubeconfig(directory, name, api_port)
    # etcd trusts an authority of its own: a client certificate of the cluster must not open the store behind it.
    store = Authority.create(directory, "etcd-ca")
    store.issue(directory, "etcd", "etcd", hosts=("localhost", "127.0.0.1"))
    store.issue(directory, "apiserver-etcd", "kube-apiserver")
    account = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _private(directory / "service-account.key", account)
    public = account.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (directory / "service-account.pub").write_bytes(public)


def write_kubeconfig(directory: Path, user: str, api_port: int) -> None:
    cluster = {
        "server": f"https://127.0.0.1:{api_port}",
        "certificate-authority-data": _base64(directory / "ca.crt"),
    }
    credentials = {
        "client-certificate-data": _base64(directory / f"{user}.crt"),
        "client-key-data": _base64(directory / f"{user}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
    }
    path = directory / f"{user}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _name(common: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + LIFETIME)
    )


def _usage(sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(path: Path, key: PrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _store(key_path: Path, path: Path, key: PrivateKey, certificate: x509.Certificate) -> None:
    _private(key_path, key)
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
