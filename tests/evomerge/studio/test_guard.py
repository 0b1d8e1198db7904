"""Who is refused, asked over a real connection."""

from pathlib import Path

import pytest

from tests.evomerge.studio.served import Studio, studio


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "", "localhost.evil"])
def test_a_host_that_was_rebound_to_this_machine_is_refused(served: Studio, host: str) -> None:
    assert served.ask("/api/runs", Host=host).status in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9999", "[::1]:8000"])
def test_loopback_names_are_served_on_any_port_as_tunnels_have_their_own(served: Studio, host: str) -> None:
    assert served.ask("/api/runs", Host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_is_refused(served: Studio, origin: str) -> None:
    assert served.ask("/api/runs", Origin=origin).status == 403


def test_a_browser_that_says_cross_site_is_refused_but_for_following_a_link(served: Studio) -> None:
    assert served.ask("/api/runs", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert served.ask("/", **link).status == 200
    assert served.ask("/", **{**link, "Sec_Fetch_Dest": "iframe"}).status == 403


def test_nothing_is_written_without_the_header_that_no_form_can_send(served: Studio, runs: Path) -> None:
    at = f"/api/runs/{served.key('verified')}/notes/3"
    form = {"Content_Type": "text/plain"}
    assert served.ask(at, "PUT", b'{"star": true}', **form).status == 403
    assert served.put(at, b'{"star": true}', Content_Type="text/plain").status == 415
    assert served.put(at, b'{"star": true}', Origin="http://evil.example").status == 403
    assert served.ask(at, "POST", b"{}", X_Evomerge_Studio="1").status == 405
    assert not (runs / "verified" / "notes.json").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/..%2f..%2fetc%2fpasswd",
        "/../../etc/passwd",
        "/api/runs/..%2f..%2fetc/front",
        "/api/runs/%2e%2e/front",
        "/studio.js%00",
        "/sources",
        "/api/runs/x/constructor",
    ],
)
def test_no_address_leads_out_of_what_is_served(served: Studio, path: str) -> None:
    answer = served.ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.body


def test_a_body_may_not_be_large_nor_lie_about_its_size(served: Studio) -> None:
    at = f"/api/runs/{served.key('verified')}/notes/3"
    assert served.put(at, b'{"text": "' + b"x" * 100_000 + b'"}').status == 413
    assert served.put(at, b'{"text": "' + b"x" * 5_000 + b'"}').status == 422
    chunk = b"x" * 50_000
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for _ in range(3)) + b"0\r\n\r\n"
    assert served.put(at, chunked, Transfer_Encoding="chunked").status == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"star": 1}', b'{"star": true, "more": 1}', b"\xff"])
def test_a_note_that_is_none_is_refused_with_a_message(served: Studio, body: bytes) -> None:
    answer = served.put(f"/api/runs/{served.key('verified')}/notes/3", body)
    assert answer.status == 422
    assert answer.document["error"]


def test_a_note_goes_through_no_link(tmp_path: Path, runs: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "archive.sqlite").write_bytes((runs / "three" / "archive.sqlite").read_bytes())
    elsewhere = tmp_path / "precious"
    elsewhere.write_text('{"version": 1, "notes": {}}')
    (run / "notes.json").symlink_to(elsewhere)
    with studio([run]) as served:
        assert served.put(f"/api/runs/{served.key()}/notes/1", b'{"star": true}').status == 409
    assert elsewhere.read_text() == '{"version": 1, "notes": {}}'


@pytest.mark.parametrize(
    "query", ["sort=__class__", "limit=99999999", "least.o0=nan", "offset=-1", "state=x", "only=a"]
)
def test_a_query_is_answered_or_refused_and_never_a_defect(served: Studio, query: str) -> None:
    assert served.ask(f"/api/runs/{served.key('verified')}/candidates?{query}").status in (200, 422)


def test_every_answer_forbids_scripts_from_elsewhere_frames_and_guesses(served: Studio) -> None:
    for path in ("/", "/studio.js", "/api/runs", "/nowhere"):
        headers = {name.lower(): value for name, value in served.ask(path).headers.items()}
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_anything_but_loopback_asks_for_a_token_that_the_address_brings(runs: Path) -> None:
    with studio([runs], host="0.0.0.0") as served:
        assert served.ask("/api/runs").status == 401
        assert served.ask("/?token=wrong").status == 401
        assert served.ask("/api/runs", Authorization="Bearer wrong").status == 401
        assert served.ask("/api/runs", Authorization=f"Bearer {served.token}").status == 200
        first = served.ask(f"/?token={served.token}")
        assert first.status == 303
        assert served.token not in first.headers["location"]
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert served.ask("/api/runs", Cookie=cookie.partition(";")[0]).status == 200
        assert served.ask("/api/runs", Cookie=cookie.partition(";")[0], Host="evil.example").status == 421
        assert len(served.token) >= 32


def test_a_hostile_name_is_text_in_every_document(tmp_path: Path) -> None:
    from tests.evomerge.results.report.test_in_a_browser import hostile_archive

    hostile_archive(tmp_path / "archive.sqlite").close()
    with studio([tmp_path]) as served:
        key = served.key()
        for page in ("", "/front", "/search", "/verdict", "/candidates?limit=500", "/candidates/7"):
            answer = served.ask(f"/api/runs/{key}{page}")
            assert answer.status == 200
            assert b"<" not in answer.body
            assert answer.headers["content-type"] == "application/json"
        assert served.ask(f"/api/compare?a={key}:1&b={key}:7").status == 200
