//! Debian's Chromium, headless, driven over its DevTools protocol.
//!
//! What a person can do is done as a person does it: keys and clicks go in as input events. Whatever the browser complains
//! about (an exception, a refused resource, a breach of the page's policy) is kept, and makes a test fail.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a page may take until it shows what it should.
const SHOWN_MS: u64 = 15_000;

/// A running browser; it ends when this is dropped.
pub(crate) struct Chromium {
    process: Child,
    profile: PathBuf,
    endpoint: String,
}

/// Where the browser is, under one of its usual names.
pub(crate) fn find() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    env::split_paths(&folders)
        .find_map(|folder| names.iter().map(|name| folder.join(name)).find(|path| path.is_file()))
}

impl Chromium {
    /// Starts it with a profile of its own in `folder`.
    pub(crate) fn start(binary: &Path, folder: &Path) -> Self {
        let profile = folder.join(format!("profile-{}", std::process::id()));
        let mut process = Command::new(binary)
            .args(["--headless=new", "--remote-debugging-port=0", "--disable-gpu", "--hide-scrollbars"])
            // as root, and inside most containers, its own sandbox cannot be made
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let endpoint = said.find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned));
        // the rest is read too: a full pipe would stop it
        std::thread::spawn(move || said.for_each(drop));
        Self { process, profile, endpoint: endpoint.expect("a browser that says where it listens") }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // its children write for a moment longer
        for _ in 0..100 {
            if fs::remove_dir_all(&self.profile).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A tab in a window of its own: no other page's cookies, storage or cache.
pub(crate) struct Page {
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    last: u64,
    complaints: Vec<String>,
}

impl Page {
    pub(crate) async fn open(browser: &Chromium, width: u32, height: u32) -> Self {
        let authority = browser.endpoint.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(authority).await.unwrap();
        let (socket, _) = client_async(browser.endpoint.as_str(), stream).await.unwrap();
        let mut page = Self { socket, session: None, last: 0, complaints: Vec::new() };
        let context = page.call("Target.createBrowserContext", json!({})).await;
        let target = json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = page.call("Target.createTarget", target).await;
        let attached =
            page.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        page.session = Some(attached.await["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.size(width, height).await;
        page
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect(method).unwrap().unwrap();
            let Message::Text(text) = message else { continue };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.hear(&answer);
        }
    }

    fn hear(&mut self, event: &Value) {
        let params = &event["params"];
        let complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => &params["exceptionDetails"],
            Some("Log.entryAdded") => &params["entry"],
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => &params["args"],
            Some("Page.javascriptDialogOpening") => params,
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }

    /// What the browser complained about since this was last asked.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// The value of an expression in the page, awaited if it is a promise.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", asked).await;
        let problem = &answer["exceptionDetails"];
        assert!(problem.is_null(), "{expression}: {problem}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true, and returns its value.
    pub(crate) async fn until(&mut self, expression: &str) -> Value {
        let waiting = format!(
            "new Promise((resolve) => {{ const end = performance.now() + {SHOWN_MS}; const look = () => {{ \
             let found; try {{ found = ({expression}) }} catch {{ found = null }} \
             if (found) resolve({{ found }}); else if (performance.now() > end) \
             resolve({{ seen: document.body.innerText.slice(0, 4000) }}); else setTimeout(look, 15); }}; look(); }})"
        );
        let mut answer = self.eval(&waiting).await;
        let complaints = &self.complaints;
        assert!(answer.get("found").is_some(), "never: {expression}\n{}\n{complaints:?}", answer["seen"]);
        answer["found"].take()
    }

    pub(crate) async fn goto(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    pub(crate) async fn size(&mut self, width: u32, height: u32) {
        let is_phone = width < 500;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub(crate) async fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A click of the mouse in the middle of the first element of a selector, once it is there.
    pub(crate) async fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{ const found = document.querySelector({selector:?}); if (!found) return null; \
             found.scrollIntoView({{ block: 'nearest' }}); const box = found.getBoundingClientRect(); \
             return box.width && {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }}; }})()"
        );
        let place = self.until(&place).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types a text where the focus is.
    pub(crate) async fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key: a letter, or a name such as `Enter`.
    pub(crate) async fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { key };
        let mut event = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if text.len() == 1 {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event).await;
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code }),
        )
        .await;
    }

    /// Keeps what is seen now as a picture.
    pub(crate) async fn picture(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, base64(shot["data"].as_str().unwrap())).unwrap();
    }
}

/// The bytes of standard base64.
fn base64(text: &str) -> Vec<u8> {
    let value = |char: u8| match char {
        b'A'..=b'Z' => char - b'A',
        b'a'..=b'z' => char - b'a' + 26,
        b'0'..=b'9' => char - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|char| *char != b'=').map(value).collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits =
            chunk.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - chunk.len()));
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}
