"""Networking: published ports to real servers, the way out, names, modes."""
import concurrent.futures
import os
import re
import socket
import urllib.request

import pytest

from conftest import wait_for


def fetch(url, timeout=5):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as reply:
            return reply.read().decode()
    except OSError:
        return None


@pytest.fixture
def web(moss, free_port):
    """busybox httpd behind a published port; its URL."""
    port = free_port()
    moss.ok("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80",
            "busybox", "sh", "-c",
            "echo page > /srv/index.html; exec httpd -f -p 80 -h /srv")
    url = f"http://127.0.0.1:{port}/"
    wait_for(lambda: fetch(url), "the web server")
    return url


def test_published_port(moss, web):
    assert fetch(web) == "page\n"
    (row,) = moss.ps()
    port = web.split(":")[2].strip("/")
    assert f"127.0.0.1:{port}->80/tcp" in row["Ports"]
    assert f"80/tcp -> 127.0.0.1:{port}" in moss.ok("port", "web")


def test_port_is_free_after_rm(moss, web):
    moss.ok("rm", "-f", "web")
    port = int(web.split(":")[2].strip("/"))
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))


def test_many_connections(moss, web):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        pages = list(pool.map(lambda _: fetch(web, 20), range(1000)))
    assert pages.count("page\n") == 1000


def test_nginx_from_debian(moss, debian, free_port):
    port = free_port()
    moss.ok("run", "-d", "--name", "nginx", "-p", f"{port}:80", debian, "nginx",
            "-g", "daemon off;")
    page = wait_for(lambda: fetch(f"http://127.0.0.1:{port}/"), "nginx")
    assert page == "<h1>nginx in moss</h1>\n"
    assert moss.ok("exec", "nginx", "sh", "-c",
                   "ps -o user= -C nginx | sort -u") .split() == \
        ["root", "www-data"]


def test_python_server(moss, debian, free_port):
    port = free_port()
    moss.ok("run", "-d", "--name", "py", "-p", f"127.0.0.1:{port}:8000", "-w",
            "/var/www/html", debian, "python3", "-m", "http.server", "8000")
    assert wait_for(lambda: fetch(f"http://127.0.0.1:{port}/"), "python") == \
        "<h1>nginx in moss</h1>\n"


def test_large_transfer_is_whole(moss, web):
    moss.ok("exec", "web", "sh", "-c",
            "dd if=/dev/urandom of=/srv/big bs=1M count=64 2>/dev/null")
    digest = moss.ok("exec", "web", "sha256sum", "/srv/big").split()[0]
    import hashlib
    with urllib.request.urlopen(web + "big") as reply:
        assert hashlib.sha256(reply.read()).hexdigest() == digest


def test_random_port(moss):
    moss.ok("run", "-d", "--name", "web", "-p", "80", "busybox", "httpd", "-f",
            "-p", "80", "-h", "/etc")
    port = re.search(r":(\d+)$", moss.ok("port", "web", "80/tcp"), re.M)[1]
    assert wait_for(lambda: fetch(f"http://127.0.0.1:{port}/group"), "httpd")


def test_publish_all(moss, busybox_tar):
    moss.ok("import", "-c", "EXPOSE 8080", "-c",
            'CMD ["httpd","-f","-p","8080","-h","/etc"]', busybox_tar, "exposed")
    moss.ok("run", "-d", "--name", "web", "-P", "exposed")
    port = moss.ok("port", "web", "8080").splitlines()[0].rsplit(":", 1)[1]
    assert wait_for(lambda: fetch(f"http://127.0.0.1:{port}/group"), "httpd")
    moss.ok("rm", "-f", "web")
    moss.ok("rmi", "exposed")


UDP_SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5000))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(b"got " + data, peer)
"""


def test_udp_port(moss, debian, free_port):
    port = free_port(socket.SOCK_DGRAM)
    moss.ok("run", "-d", "--name", "udp", "-p", f"127.0.0.1:{port}:5000/udp",
            debian, "python3", "-c", UDP_SERVER)

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            s.connect(("127.0.0.1", port))
            s.send(b"ping")
            try:
                return s.recv(100)
            except OSError:
                return None
    assert wait_for(ask, "the UDP answer") == b"got ping"


def test_taken_port_fails_first(moss, free_port):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        result = moss("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox",
                      "echo", "must not run")
    assert result.code == 125 and result.out == ""
    assert f"127.0.0.1:{port}" in result.err and "in use" in result.err
    assert moss.ok("ps", "-aq") == ""


def test_low_port_names_the_sysctl(moss):
    if int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()) <= 79:
        pytest.fail("this machine lets everybody bind port 79")
    result = moss("run", "--rm", "-p", "79:80", "busybox", "true")
    assert result.code == 125
    assert "net.ipv4.ip_unprivileged_port_start=79" in result.err


def test_host_loopback_is_closed(moss, host_server):
    """A server there is refused at once, as where nobody listens."""
    result = moss("run", "--rm", "busybox", "sh", "-c",
                  f"grep host.docker.internal /etc/hosts; timeout 5 wget -qO- "
                  f"http://host.docker.internal:{host_server}/")
    assert result.code != 0 and "from the host" not in result.out
    assert result.out.startswith("10.0.2.2\t")
    assert "Connection refused" in result.err


@pytest.mark.parametrize("option", ["allow-host-loopback",
                                    "allow_host_loopback"])
def test_host_loopback_can_be_opened(moss, host_server, option):
    for name in ("host.docker.internal", "host.containers.internal", "up"):
        assert moss.ok("run", "--rm", "--add-host", "up:host-gateway",
                       "--network", f"slirp:{option}=true", "busybox", "wget",
                       "-q", "-O-", f"http://{name}:{host_server}/") == \
            "from the host"


def test_host_loopback_of_moss_conf(moss, host_server, tmp_path):
    conf = tmp_path / "moss.conf"
    conf.write_text("[network]\n\tallow-host-loopback = true\n")
    moss = moss.with_env(MOSS_CONFIG=str(conf))
    ask = ["busybox", "wget", "-q", "-O-", f"http://10.0.2.2:{host_server}/"]
    assert moss.ok("run", "--rm", *ask) == "from the host"
    closed = moss("run", "--rm", "--network", "slirp:allow-host-loopback=false",
                  *ask)
    assert closed.code == 1 and "Connection refused" in closed.err


def test_interface(moss):
    out = moss.ok("run", "--rm", "busybox", "ip", "addr")
    assert "10.0.2.100/24" in out and "mtu 65520" in out
    assert "default via 10.0.2.2" in moss.ok("run", "--rm", "busybox", "ip",
                                             "route")


def test_ip_and_mac(moss):
    out = moss.ok("run", "--rm", "--ip", "10.0.2.44", "--mac-address",
                  "92:d0:c6:0a:29:33", "busybox", "ip", "addr")
    assert "10.0.2.44/24" in out and "92:d0:c6:0a:29:33" in out


def test_network_none(moss):
    out = moss.ok("run", "--rm", "--network", "none", "busybox", "ip", "-o",
                  "link")
    assert len(out.splitlines()) == 1 and "lo:" in out and "UP" in out


def test_network_host(moss, host_server):
    assert moss.ok("run", "--rm", "--network", "host", "busybox", "wget", "-q",
                   "-O-", f"http://127.0.0.1:{host_server}/") == "from the host"


def test_network_of_another_container(moss, web):
    assert moss.ok("run", "--rm", "--network", "container:web", "busybox",
                   "wget", "-q", "-O-", "http://127.0.0.1:80/") == "page"


def test_ping_gateway(moss, debian):
    """Also with what fills the MTU, of both families."""
    for target in ("10.0.2.2", "fd00::2"):
        moss.ok("run", "--rm", debian, "ping", "-c", "1", "-W", "5", "-s",
                "60000", target)


def test_segments_are_large(moss, debian, host_server):
    script = f"""
import socket
s = socket.create_connection(("10.0.2.2", {host_server}))
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
"""
    # Linux sends at most half a window, which is 64 KiB here, at a time.
    assert int(moss.ok("run", "--rm", "--network",
                       "slirp:allow-host-loopback=true", debian, "python3",
                       "-c", script)) > 32000


def test_ping_itself(moss):
    moss.ok("run", "--rm", "busybox", "ping", "-c", "1", "127.0.0.1")


def test_apt_installs_a_package(moss, debian):
    """Names, TCP, users, setuid helpers, dpkg: a fair day's work for a container.

    The sources are this machine's own."""
    mounts = []
    for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d",
                 "/etc/apt/keyrings", "/usr/share/keyrings",
                 "/etc/apt/trusted.gpg.d", "/etc/apt/apt.conf.d"):
        if os.path.exists(path):
            mounts += ["-v", f"{path}:{path}:ro"]
    result = moss("run", "--rm", *mounts, debian, "sh", "-c",
                  "apt-get -q update && "
                  "apt-get -qy install --no-install-recommends hello && hello",
                  timeout=300)
    assert result.code == 0, result
    assert result.out.endswith("Hello, world!\n")
