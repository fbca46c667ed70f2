"""The two HTTP peers of the demonstration: a learning-content API and a webhook receiver. Standard library only.

    peers.py FOLDER

Listens on a free port of 127.0.0.1 and writes it to FOLDER/port. GET /databases/airtable answers the content to the
bearer token in API_KEY; each POST /webhook with the token in HOOK_TOKEN as its Authorization is written to
FOLDER/webhook-1.json, FOLDER/webhook-2.json, and so on. Ends with SIGTERM.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCALES = [["fr", "fr-fr"], ["en"], ["fr-fr"], ["nl", "en"]]


def name(number, width=3):
    return str(number).zfill(width)


def i18n(french, english=None):
    return {"fr": french, "en": english or french}


def challenge(at):
    record = {
        "id": f"challenge{name(at)}",
        "instruction": f"Ouvrez le fichier n° {at}, puis répondez.\nUne ligne \"entre guillemets\".",
        "status": ["validé", "archivé", "proposé"][at % 3],
        "type": ["QCU", "QCM", "QROC"][at % 3],
        "timer": 60 if at % 10 == 0 else None,
        "autoReply": at % 20 == 0,
        "skillId": f"skill{name(at % 120)}",
        "locales": LOCALES[at % 4],
        "alternativeInstruction": "" if at % 2 else "Autrement dit…",
        "area": "France",
        "focusable": at % 7 == 0,
        "solutionToDisplay": f"La réponse {at}",
        "delta": -3.2 + at / 50,
        "alpha": 0.5 + at / 1000,
        "createdAt": "2020-03-01T10:00:00.000Z",
        "validatedAt": "2020-04-01T10:00:00.000Z" if at % 3 == 0 else None,
        "accessibility1": "OK",
        "spoil": "Non Sp",
        "responsive": "Tablette/Smartphone",
        "genealogy": "Prototype 1",
        "version": 1 + at % 4,
        "declinable": "facilement",
        "proposals": "- un\n- deux\n- trois",
        "solution": "2",
        "pedagogy": "q-situation",
        "shuffled": at % 2 == 0,
        "contextualizedFields": ["instruction", "embed"],
        # What an array literal built by hand would break on.
        "urlsToConsult": ["https://example.net/?a=1,2", 'https://example.net/{"q"}', ""] if at % 5 == 0 else [],
        "isIncompatibleIpadCertif": False,
        "toRephrase": False,
    }
    if at % 6 == 0:
        record["embedUrl"] = f"https://embed.example.net/{at}"
    if at % 4 == 0:
        # The others leave it out, which means false.
        record["requireGafamWebsiteAccess"] = True
    return record


def content():
    return {
        "areas": [{"id": f"area{name(at, 2)}", "name": f"{at}. Domaine", "color": "jaffa"} for at in range(5)],
        "attachments": [
            {"id": f"attachment{name(at)}", "type": "attachment", "challengeId": f"challenge{name(at)}", "alt": "",
             "url": f"https://files.example.net/{at}.ods", "size": 1024 * at} for at in range(40)],
        "competences": [
            {"id": f"competence{name(at, 2)}", "name_i18n": i18n(f"Compétence {at}", f"Competence {at}"),
             "index": f"{1 + at // 4}.{1 + at % 4}", "origin": "Pix", "areaId": f"area{name(at % 5, 2)}"}
            for at in range(16)],
        "tubes": [
            {"id": f"tube{name(at, 2)}", "name": f"@tube{at}", "competenceId": f"competence{name(at % 16, 2)}",
             "practicalTitle_i18n": i18n(f"Titre {at}"), "practicalDescription_i18n": i18n(f"Description, {at}")}
            for at in range(40)],
        "skills": [
            {"id": f"skill{name(at)}", "name": f"@acquis{at}", "description": "D'abord, \"puis\"", "level": 1 + at % 8,
             "tubeId": f"tube{name(at % 40, 2)}", "status": "actif", "pixValue": 3.33333, "hintStatus": "Validé",
             "hint_i18n": i18n("Un indice"), "tutorialIds": [f"tutorial{name(at % 60, 2)}"],
             "learningMoreTutorialIds": [], "internationalisation": "Monde"} for at in range(120)],
        "challenges": [challenge(at) for at in range(300)],
        "courses": [{"id": f"course{at}", "name": f"Test démo {at}", "competences": []} for at in range(6)],
        "tutorials": [
            {"id": f"tutorial{name(at, 2)}", "title": f"Tutoriel {at}", "link": f"https://tuto.example.net/{at}",
             "tutorialForSkills": [f"skill{name(at)}"], "furtherInformation": [], "locale": "fr-fr"}
            for at in range(60)],
    }


class Peers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = "."
    received = 0

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path != "/databases/airtable":
            self.answer(404, {"error": "no such page"})
        elif self.headers.get("Authorization") != f"Bearer {os.environ['API_KEY']}":
            self.answer(401, {"error": "wrong token"})
        else:
            self.answer(200, content())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/webhook" or self.headers.get("Authorization") != os.environ["HOOK_TOKEN"]:
            self.answer(403, {"error": "wrong path or token"})
            return
        Peers.received += 1
        write(f"{self.folder}/webhook-{Peers.received}.json", json.dumps(json.loads(body), indent=2, ensure_ascii=False))
        self.answer(200, {})

    def log_message(self, *_):
        pass


def write(path, text):
    """Nobody sees half a file."""
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    os.rename(f"{path}.tmp", path)


if __name__ == "__main__":
    Peers.folder = sys.argv[1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Peers)
    write(f"{Peers.folder}/port", server.server_port)
    server.serve_forever()
