//! A Lambda execution environment for one function: the Runtime API on loopback, and the real `bootstrap` as its
//! client.
//!
//! Events go in and outcomes come out, as the service would see them. The event source determines where events come
//! from, and what happens when one fails.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::{self, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use camino::Utf8PathBuf;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, mpsc, oneshot},
};

/// A function as it was deployed.
#[derive(Clone, Debug)]
pub struct Function {
    /// The function's name.
    pub name: String,
    /// The program, unpacked from the zip.
    pub bootstrap: Utf8PathBuf,
    /// The handler, which the program reads from `_HANDLER`.
    pub handler: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The maximum duration of one invocation.
    pub timeout: Duration,
    /// The region it runs in.
    pub region: String,
    /// The environment variables, including those that replace what the service adds: credentials and endpoints.
    pub environment: BTreeMap<String, String>,
    /// The file for the program's output, which is appended to.
    pub log: Utf8PathBuf,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The function returned this.
    Returned(Value),
    /// The function reported an error.
    Failed {
        /// `errorType`.
        kind: String,
        /// `errorMessage`.
        message: String,
    },
    /// The program ended before answering.
    Exited,
    /// The timeout was reached; the environment is gone, as on Lambda.
    TimedOut,
}

/// One execution environment. The first invocation starts the program, and so does the first one after it has ended.
pub struct LambdaHost {
    function: Function,
    /// The environment's `/tmp`, which outlives its programs.
    scratch: TempDir,
    address: SocketAddr,
    queue: Queue,
    waiting: Waiting,
    running: Option<Running>,
    invocations: u64,
}

/// A program that was started, and the connection to it.
struct Running {
    bootstrap: Child,
    calls: mpsc::Sender<Call>,
}

struct Call {
    id: String,
    event: Bytes,
    deadline_ms: u128,
}

/// Where the running program gets its calls from. Each program has its own, so that a request from a killed program
/// takes nothing away from the next.
type Queue = Arc<std::sync::Mutex<Arc<Mutex<mpsc::Receiver<Call>>>>>;

type Waiting = Arc<Mutex<BTreeMap<String, oneshot::Sender<Outcome>>>>;

/// The id under which a failure before the first event is reported; no invocation has it.
const INIT: &str = "init";

#[derive(Clone)]
struct Api {
    queue: Queue,
    waiting: Waiting,
    arn: Arc<str>,
}

impl LambdaHost {
    /// Opens the Runtime API. Must be called within a tokio runtime.
    pub async fn new(function: Function) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let queue = Queue::new(std::sync::Mutex::new(Arc::new(Mutex::new(mpsc::channel(1).1))));
        let waiting = Waiting::default();
        let arn = format!("arn:aws:lambda:{}:111111111111:function:{}", function.region, function.name);
        let api = Api { queue: Arc::clone(&queue), waiting: Arc::clone(&waiting), arn: Arc::from(arn) };
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(api);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { function, scratch: TempDir::new()?, address, queue, waiting, running: None, invocations: 0 })
    }

    /// Runs the function on an event.
    pub async fn invoke(&mut self, event: &Value) -> io::Result<Outcome> {
        self.invocations += 1;
        let id = format!("{:08x}-0000-4000-8000-000000000000", self.invocations);
        let (sender, receiver) = oneshot::channel();
        let (init_sender, init_receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().await;
            waiting.insert(id.clone(), sender);
            waiting.insert(INIT.to_owned(), init_sender);
        }
        let deadline = SystemTime::now() + self.function.timeout;
        let deadline_ms = deadline.duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_millis();
        let ended = match &mut self.running {
            Some(running) => running.bootstrap.try_wait()?.is_some(),
            None => true,
        };
        if ended {
            let (calls, receiver) = mpsc::channel(1);
            *self.queue.lock().expect("no one panics with it") = Arc::new(Mutex::new(receiver));
            self.running =
                Some(Running { bootstrap: start(&self.function, self.scratch.path(), self.address)?, calls });
        }
        let running = self.running.as_mut().expect("it was started above");
        let call = Call { id, event: Bytes::from(event.to_string()), deadline_ms };
        running.calls.send(call).await.map_err(io::Error::other)?;
        let outcome = tokio::select! {
            biased;
            Ok(outcome) = receiver => outcome,
            Ok(outcome) = init_receiver => outcome,
            _ = running.bootstrap.wait() => Outcome::Exited,
            () = tokio::time::sleep(self.function.timeout) => Outcome::TimedOut,
        };
        if matches!(outcome, Outcome::Exited | Outcome::TimedOut) {
            self.kill().await?;
        }
        self.waiting.lock().await.clear();
        Ok(outcome)
    }

    /// Runs the function on an event, and ends the program if it has not answered after this time, like a host that is
    /// lost in the middle of its work.
    pub async fn invoke_for(&mut self, event: &Value, host_lasts: Duration) -> io::Result<Outcome> {
        match tokio::time::timeout(host_lasts, self.invoke(event)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.kill().await?;
                self.waiting.lock().await.clear();
                Ok(Outcome::Exited)
            }
        }
    }

    /// Ends the program immediately, as if its host were lost. The next invocation is a cold start.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.running.take() {
            Some(mut running) => running.bootstrap.kill().await,
            None => Ok(()),
        }
    }

    /// The process id of the running program.
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.bootstrap.id())
    }
}

fn start(function: &Function, scratch: &Path, address: SocketAddr) -> io::Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(&function.log)?;
    Command::new(&function.bootstrap)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &function.memory_mib.to_string()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", function.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "test"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", &function.region),
            ("AWS_DEFAULT_REGION", &function.region),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("_HANDLER", &function.handler),
            ("TZ", ":UTC"),
            ("PATH", "/usr/bin:/bin"),
        ])
        .env("TMPDIR", scratch)
        .envs(&function.environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
}

async fn next(State(api): State<Api>) -> Response {
    let queue = Arc::clone(&api.queue.lock().expect("no one panics with it"));
    let Some(call) = queue.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", call.id),
        ("Lambda-Runtime-Deadline-Ms", call.deadline_ms.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", api.arn.to_string()),
        ("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned()),
        ("Content-Type", "application/json".to_owned()),
    ];
    (headers, call.event).into_response()
}

async fn response(State(api): State<Api>, extract::Path(id): extract::Path<String>, body: Bytes) -> StatusCode {
    let outcome = match serde_json::from_slice(&body) {
        Ok(value) => Outcome::Returned(value),
        Err(error) => Outcome::Failed { kind: "Runtime.BadResponse".to_owned(), message: error.to_string() },
    };
    finish(&api, &id, outcome).await
}

async fn error(
    State(api): State<Api>,
    extract::Path(id): extract::Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    finish(&api, &id, reported(&headers, &body)).await
}

async fn init_error(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> StatusCode {
    finish(&api, INIT, reported(&headers, &body)).await
}

fn reported(headers: &HeaderMap, body: &[u8]) -> Outcome {
    let report: Value = serde_json::from_slice(body).unwrap_or_default();
    let header = headers.get("Lambda-Runtime-Function-Error-Type").and_then(|value| value.to_str().ok());
    let text = |key: &str| report[key].as_str().map(str::to_owned);
    Outcome::Failed {
        kind: text("errorType").or_else(|| header.map(str::to_owned)).unwrap_or_default(),
        message: text("errorMessage").unwrap_or_default(),
    }
}

async fn finish(api: &Api, id: &str, outcome: Outcome) -> StatusCode {
    match api.waiting.lock().await.remove(id) {
        Some(waiting) => {
            // The invocation may have timed out by now, and then no one is waiting.
            let _late = waiting.send(outcome);
            StatusCode::ACCEPTED
        }
        None => StatusCode::FORBIDDEN,
    }
}
