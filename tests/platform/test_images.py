"""Which command stands for an image."""

from pathlib import Path

import pytest

from minimesh.config.kubernetes.pod import Container
from minimesh.platform.images import ImageName, ImageTable, ImageTableError, UnknownImageError


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageTable:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return ImageTable.load()


def with_user_file(tmp_path: Path, text: str) -> ImageTable:
    file = tmp_path / "images.yaml"
    file.write_text(text)
    return ImageTable.load(file)


@pytest.mark.parametrize(
    ("text", "path", "tag"),
    [
        ("curlimages/curl", ("curlimages", "curl"), ""),
        ("docker.io/kennethreitz/httpbin:latest", ("kennethreitz", "httpbin"), "latest"),
        ("localhost:5000/app@sha256:12ab", ("app",), ""),
        ("registry.istio.io/release/app:1.0", ("release", "app"), "1.0"),
        ("docker.io/library/busybox", ("busybox",), ""),
    ],
)
def test_an_image_name_falls_into_path_and_tag(text: str, path: tuple[str, ...], tag: str) -> None:
    assert ImageName.parse(text) == ImageName(path, tag)


@pytest.mark.parametrize(
    ("image", "entry", "port"),
    [
        ("docker.io/kennethreitz/httpbin", "httpbin", 80),
        ("docker.io/kong/httpbin:0.2.3", "httpbin", 80),
        ("docker.io/mccutchen/go-httpbin:v2.15.0", "httpbin", 8080),
        ("mirror.example/proxy/kennethreitz/httpbin", "httpbin", 80),
        ("curlimages/curl", "sleep", None),
        ("governmentpaas/curl-ssl", "sleep", None),
        ("registry.istio.io/release/examples-helloworld-v1:1.0", "helloworld", 5000),
        ("docker.io/istio/examples-helloworld-v2:1.20.3", "helloworld", 5000),
        ("minimesh/gsservice:v1", "gsservice", 5000),
        ("registry.istio.io/release/examples-bookinfo-productpage-v1:1.20.3", "productpage", 9080),
        ("registry.istio.io/release/examples-bookinfo-details-v1:1.20.3", "details", 9080),
        ("docker.io/istio/examples-bookinfo-ratings-v1:1.16.2", "ratings", 9080),
        ("registry.istio.io/release/examples-bookinfo-reviews-v3:1.20.3", "reviews", 9080),
    ],
)
def test_published_sample_images_are_known(
    table: ImageTable, image: str, entry: str, port: int | None
) -> None:
    program = table.program(Container(name="app", image=image))
    assert (program.entry, program.port) == (entry, port)


def test_a_tag_chooses_between_entries(table: ImageTable) -> None:
    versions = [
        table.program(Container(name="app", image=f"minimesh/gsservice{tag}")).env["SERVICE_VERSION"]
        for tag in (":v1", ":v2", "")
    ]
    assert versions == ["v1", "v2", "v1"]


def test_address_and_port_are_filled_in(table: ImageTable) -> None:
    program = table.program(Container(name="app", image="kennethreitz/httpbin"))
    assert program.arguments("127.11.0.2", 20080) == ("--host", "127.11.0.2", "--port", "20080")


def test_a_demo_application_gets_the_containers_arguments_after_its_own(table: ImageTable) -> None:
    image = "registry.istio.io/release/tcp-echo-server:1.3"
    program = table.program(Container(name="tcp-echo", image=image, args=("9000,9001,9002", "hello")))
    assert program.arguments("127.11.0.2", None) == ("--host", "127.11.0.2", "9000,9001,9002", "hello")


def test_a_containers_sleep_is_our_own_and_takes_any_length(table: ImageTable) -> None:
    container = Container(name="sleep", image="curlimages/curl", command=("/bin/sleep", "3650d"))
    assert table.program(container).entry == "sleep"


def test_httpbin_started_by_gunicorn_listens_where_gunicorn_would(table: ImageTable) -> None:
    command = ("gunicorn", "-b", "[::]:8080", "httpbin:app", "-k", "gevent")
    program = table.program(Container(name="httpbin", image="docker.io/kong/httpbin", command=command))
    assert (program.entry, program.port) == ("httpbin", 8080)


@pytest.mark.parametrize("prefix", [(), ("pipenv", "run")])
def test_httpbin_started_by_gunicorn_logs_where_it_is_told_to(
    table: ImageTable, prefix: tuple[str, ...]
) -> None:
    command = (*prefix, "gunicorn", "--access-logfile", "-", "-b", "0.0.0.0:80", "httpbin:app")
    program = table.program(Container(name="httpbin", image="docker.io/kong/httpbin", command=command))
    assert (program.entry, program.port) == ("httpbin", 80)
    assert program.argv[-2:] == ("--access-log", "gunicorn")


def test_any_other_command_of_a_container_is_run_as_it_is(table: ImageTable) -> None:
    container = Container(name="c", image="busybox:1.36", command=("sh", "-c"), args=("echo hello",))
    program = table.program(container)
    assert (program.entry, program.argv) == (None, ("sh", "-c", "echo hello"))


def test_an_image_that_only_runs_commands_needs_one(table: ImageTable) -> None:
    with pytest.raises(UnknownImageError, match="`command`"):
        table.program(Container(name="c", image="busybox"))


def test_an_unknown_image_names_the_file_to_edit_and_the_lines_to_add(
    table: ImageTable, tmp_path: Path
) -> None:
    with pytest.raises(UnknownImageError) as refused:
        table.program(Container(name="web", image="docker.io/library/nginx:1.27"))
    text = str(refused.value)
    assert "'docker.io/library/nginx:1.27'" in text
    assert str(tmp_path / "minimesh" / "images.yaml") in text
    assert "- names: [nginx]" in text


def test_the_users_entries_win(tmp_path: Path) -> None:
    table = with_user_file(
        tmp_path,
        'images:\n- names: [kennethreitz/httpbin]\n  command: [my-httpbin, "{host}:{port}"]\n  port: 80\n',
    )
    program = table.program(Container(name="app", image="kennethreitz/httpbin", args=("--verbose",)))
    assert program.entry is None
    assert program.arguments("127.11.0.2", 80) == ("my-httpbin", "127.11.0.2:80", "--verbose")


def test_the_suggested_lines_are_a_working_table(table: ImageTable, tmp_path: Path) -> None:
    with pytest.raises(UnknownImageError) as refused:
        table.program(Container(name="web", image="team/web:1"))
    _, _, lines = str(refused.value).partition("\n")
    extended = with_user_file(tmp_path, lines)
    assert extended.program(Container(name="web", image="team/web:1")).port == 8080


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: 3", "expected a list under `images`"),
        ("images: [3]", r"images\[0\]: expected a mapping"),
        ("images:\n- names: [a]\n  comand: [b]", "unknown field 'comand'"),
        ("images:\n- command: [b]", "`names` is missing"),
        ("images:\n- names: [a]\n  port: 70000", "`port` must be"),
        ("images:\n- names: a", "`names` must be a list"),
        ("images: [", "no valid YAML"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ImageTableError, match=said):
        with_user_file(tmp_path, text)


def test_a_table_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ImageTableError, match="cannot read"):
        ImageTable.load(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("image", "arguments", "argv"),
    [
        ("busybox", ("sh", "-c", "true"), ("sh", "-c", "true")),
        ("curlimages/curl", ("curl", "-s", "http://web/"), ("curl", "-s", "http://web/")),
        ("curlimages/curl", ("-s", "http://web/"), ("curl", "-s", "http://web/")),
    ],
)
def test_the_arguments_of_a_shells_or_curls_image_are_a_command(
    image: str, arguments: tuple[str, ...], argv: tuple[str, ...]
) -> None:
    program = ImageTable.load().program(Container(name="app", image=image, args=arguments))
    assert (program.entry, program.argv) == (None, argv)
