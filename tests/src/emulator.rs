//! Starts and stops the AWS emulator.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running emulator.
pub struct Emulator {
    process: Child,
    address: SocketAddr,
    log: Utf8PathBuf,
}

impl Emulator {
    /// Starts it with one Python environment that has it installed and one that reads Iceberg tables, and waits until
    /// it answers. Its data and its log go to `folder`.
    pub fn start(python: &Utf8Path, iceberg: &Utf8Path, folder: &Utf8Path, port: u16) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let log = folder.join("emulator.log");
        let output = File::create(&log)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = Command::new(python)
            .arg(Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/emulator.py"))
            .args([&port.to_string(), folder.as_str(), iceberg.as_str()])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut emulator = Self { process, address, log };
        emulator.wait_until_it_answers()?;
        Ok(emulator)
    }

    /// The URL of the emulator.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait_until_it_answers(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                let log = std::fs::read_to_string(&self.log)?;
                return Err(io::Error::other(format!("the emulator ended with {status}:\n{log}")));
            }
            if began.elapsed() > START_TIMEOUT {
                return Err(io::Error::other(format!("the emulator did not answer within {START_TIMEOUT:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended already, which needs no report.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
