"""The main job as a user would do it: a real `area up`, and an AREA from each kind of event."""

import http.server
import json
import threading
import time
import urllib.request

import pytest
from bench.stack import Area
from tests import peers


class World:
    """A feed that can be added to, and a place where requests arrive."""

    def __init__(self):
        self.arrived = []
        self.items = ["first"]
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                items = "".join(
                    f"<item><guid>{entry}</guid><title>{entry}</title><link>http://x.example/{entry}</link></item>"
                    for entry in world.items
                )
                body = f'<rss version="2.0"><channel><title>A feed</title>{items}</channel></rss>'.encode()
                self.answer(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                world.arrived.append((self.path, self.headers.get("idempotency-key"), json.loads(body)))
                self.answer(b"{}")

            def answer(self, body):
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def at(self, path):
        return [body for where, _, body in self.arrived if where == path]


@pytest.fixture(scope="module")
def world():
    created = World()
    yield created
    created.server.shutdown()
    created.server.server_close()


@pytest.fixture(scope="module")
def area():
    with Area() as installation:
        installation.register()
        yield installation


def until(check, seconds=60):
    end = time.time() + seconds
    while not (result := check()):
        assert time.time() < end, "it did not come true in time"
        time.sleep(0.1)
    return result


def executions(area, created):
    return area.call("GET", f"/api/executions?area_id={created['id']}")["items"]


def post(url, body, **headers):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json", **headers}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, json.load(answer)


def test_a_webhook_becomes_a_request(area, world):
    created = area.create(
        "webhook.received", "http.request", url=f"{world.url}/hook", body={"title": "{{body.title}}", "n": "{{body.n}}"}
    )
    status, answer = post(created["webhook_url"], {"title": 'He said "hi"', "n": 3})
    assert status == 202
    assert until(lambda: world.at("/hook")) == [{"title": 'He said "hi"', "n": 3}]
    (execution,) = until(
        lambda: [execution for execution in executions(area, created) if execution["status"] == "success"]
    )
    assert execution["id"] == answer["execution_id"]
    opened = area.call("GET", f"/api/executions/{execution['id']}")
    assert opened["trigger_data"]["body"] == {"title": 'He said "hi"', "n": 3}
    assert opened["result"]["status"] == 200


def test_a_webhook_that_names_itself_fires_once(area, world):
    created = area.create("webhook.received", "http.request", url=f"{world.url}/once", body={"n": "{{body.n}}"})
    answers = [post(created["webhook_url"], {"n": n}, **{"idempotency-key": "order-1"}) for n in range(3)]
    assert [status for status, _ in answers] == [202, 200, 200]
    assert len({answer["execution_id"] for _, answer in answers}) == 1
    until(lambda: world.at("/once"))
    time.sleep(0.5)
    assert world.at("/once") == [{"n": 0}]


def test_a_timer_posts_to_the_inbox(area):
    created = area.create(
        "timer.interval_timer", "inbox.post", {"interval": "10s"}, title="It is {{hour}}", body="{{date}}"
    )
    until(lambda: executions(area, created))
    notices = until(
        lambda: [item for item in area.call("GET", "/api/notices")["items"] if item["title"].startswith("It is")]
    )
    assert notices[0]["body"].count("-") == 2
    area.call("POST", f"/api/areas/{created['id']}/disable")


def test_a_feed_item_becomes_a_request(area, world):
    created = area.create(
        "rss.new_item",
        "http.request",
        {"url": f"{world.url}/feed"},
        url=f"{world.url}/item",
        body={"title": "{{title}}"},
    )
    until(lambda: area.call("GET", f"/api/areas/{created['id']}")["last_checked_at"])
    world.items.append("second")
    area.query("update sources set due_at = now() where lease_owner is null")
    assert until(lambda: world.at("/item")) == [{"title": "second"}]


def test_a_mail_becomes_a_mail(area):
    with peers.dovecot() as imap, peers.smtp_server() as smtp:
        credential = {
            "imap_host": imap.host,
            "imap_port": imap.port,
            "imap_security": "none",
            "smtp_host": smtp.host,
            "smtp_port": smtp.port,
            "smtp_security": "none",
            "login": imap.login,
            "password": imap.password,
            "from_address": "area@example.org",
        }
        view = area.call("POST", "/api/connections/email", credential)
        assert imap.password not in json.dumps(view)
        imap.deliver(peers.mail(subject="from before"))
        created = area.create(
            "email.new_email", "email.send_email", to="bob@example.org", subject="Re: {{subject}}", text="{{sender}}"
        )
        until(lambda: area.query("select 1 from sources where state::text like '%last_uid%'"))
        imap.deliver(peers.mail(subject="Hello there"))
        sent = until(lambda: smtp.mails)
        assert "Subject: Re: Hello there" in sent[0].content.decode()
        time.sleep(0.5)
        assert len(smtp.mails) == 1
        area.call("POST", f"/api/areas/{created['id']}/disable")


def test_an_mqtt_message_becomes_an_mqtt_message(area):
    with peers.mosquitto() as broker:
        credential = {
            "host": broker.host,
            "port": broker.port,
            "security": "none",
            "login": broker.login,
            "password": broker.password,
        }
        area.call("POST", "/api/connections/mqtt", credential)
        first = area.create(
            "mqtt.message_received", "mqtt.publish", {"topic": "in/+"}, topic="out", payload={"got": "{{payload.n}}"}
        )
        second = area.create("mqtt.message_received", "inbox.post", {"topic": "out"}, title="out: {{payload.got}}")
        until(lambda: broker.subscriptions() == 2)
        third = area.create("webhook.received", "mqtt.publish", topic="in/x", payload={"n": "{{body.n}}"})
        post(third["webhook_url"], {"n": 41})
        until(lambda: [item for item in area.call("GET", "/api/notices")["items"] if item["title"] == "out: 41"])
        for created in (first, second, third):
            assert [execution["status"] for execution in executions(area, created)] == ["success"]
            area.call("POST", f"/api/areas/{created['id']}/disable")


def test_it_says_what_it_is_and_how_it_fares(area, world):
    created = area.create("webhook.received", "http.request", url=f"{world.url}/counted", body={"n": 1})
    post(created["webhook_url"], {})
    until(lambda: [execution for execution in executions(area, created) if execution["status"] == "success"])
    about = area.call("GET", "/about.json")
    assert about["client"]["host"] == "127.0.0.1"
    assert {"Timer", "Webhook", "HTTP", "E-mail", "MQTT", "Inbox"} <= {
        service["name"] for service in about["server"]["services"]
    }
    with urllib.request.urlopen(area.url("/metrics"), timeout=10) as answer:
        text = answer.read().decode()
    assert 'area_executions_total{status="success"}' in text
    assert "area_queue_depth" in text
    assert 'area_upstream_requests_total{outcome="2xx"}' in text
    assert "area_poll_lag_seconds_bucket" in text
    assert "area_hook_seconds_bucket" in text


def test_it_stops_gracefully_and_leaves_no_secret_in_its_log(area):
    log = (area.folder / "log").read_text()
    assert area.token not in log
    assert "correct horse" not in log
    assert "worker.started" in log
    area.process.terminate()
    assert area.process.wait(100) == 0
