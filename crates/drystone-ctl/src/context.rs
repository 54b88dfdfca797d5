//! What every command is given: flags, streams, and how to reach the servers.

use std::io::Write as _;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use drystone_client::{Client, Config, Credentials, Endpoint, Pair, TlsSettings};

use crate::cli::Parsed;
use crate::discovery::Discovery;
use crate::exit::{Exit, Failure, call_message};
use crate::io::{Io, read_line};
use crate::print::{Answer, Format, Printer};
use crate::tree::GLOBAL;

/// One run of one command.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) io: &'a mut Io,
    pub(crate) flags: Parsed,
}

/// How long a command's calls may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// `--command-timeout`.
    Command,
    /// As long as it takes.
    None,
}

/// What the global flags and the environment come to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// As they were given.
    pub(crate) endpoints: Vec<String>,
    pub(crate) printer: Printer,
    /// Where `--discovery-srv` says that they are to be found, before those that were given.
    discovery: Option<Discovery>,
    config: Config,
}

/// A client and the format of its answers.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) printer: Printer,
}

/// Variables of the environment that only `watch` reads.
pub(crate) const ENV_WATCH_KEY: &str = "ETCDCTL_WATCH_KEY";
pub(crate) const ENV_WATCH_RANGE_END: &str = "ETCDCTL_WATCH_RANGE_END";

impl Context<'_> {
    pub(crate) fn args(&self) -> &[Vec<u8>] {
        &self.flags.args
    }

    /// Writes to standard output.
    pub(crate) fn out(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.io.stdout.write_all(bytes.as_ref())?;
        Ok(self.io.stdout.flush()?)
    }

    /// Writes a line to standard error. That nobody reads it is no error.
    pub(crate) fn err(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.io.stderr, "{}", line.as_ref());
        let _ = self.io.stderr.flush();
    }

    /// Prints a response.
    pub(crate) fn show(&mut self, session: &Session, answer: Answer<'_>) -> Result<(), Failure> {
        self.out(session.printer.render(answer))
    }

    /// Reads the environment into the global flags; makes nothing yet.
    ///
    /// `watch` tells whether the variables of `watch` are known.
    pub(crate) fn settings(
        &mut self,
        formats: &[Format],
        limit: Limit,
        watch: bool,
    ) -> Result<Settings, Failure> {
        self.environment(watch)?;
        if self.flags.bool("debug") {
            self.dump_flags();
        }
        let format = Format::parse(self.flags.text("write-out"))?;
        let printer = Printer { format, hex: self.flags.bool("hex") };
        printer.check(formats)?;
        let tls = self.tls()?;
        let mut config = Config::new(Vec::new());
        config.tls = tls;
        config.timeouts.connect = self.flags.duration("dial-timeout");
        config.timeouts.call = match limit {
            Limit::Command => Some(self.flags.duration("command-timeout")),
            Limit::None => None,
        };
        config.timeouts.keepalive_interval = self.flags.duration("keepalive-time");
        config.timeouts.keepalive_answer = self.flags.duration("keepalive-timeout");
        config.retries.attempts_max = u32::MAX;
        config.retries.pause_max = Duration::from_millis(500);
        if let Some(bytes) = positive(self.flags.int("max-request-bytes")) {
            config.request_bytes_max = bytes;
        }
        if let Some(bytes) = positive(self.flags.int("max-recv-bytes")) {
            config.response_bytes_max = bytes;
        }
        config.credentials = self.credentials()?;
        let endpoints = self.flags.list("endpoints").to_vec();
        Ok(Settings { endpoints, printer, discovery: Discovery::asked(&self.flags), config })
    }

    /// A client of all endpoints.
    pub(crate) async fn session(
        &mut self,
        formats: &[Format],
        limit: Limit,
    ) -> Result<Session, Failure> {
        let settings = self.settings(formats, limit, false)?;
        self.open(&settings).await
    }

    /// A client of the servers that are to be found, or of all endpoints.
    pub(crate) async fn open(&mut self, settings: &Settings) -> Result<Session, Failure> {
        let endpoints = self.endpoints(settings).await?;
        let client = settings.client(&endpoints).await?;
        Ok(Session { client, printer: settings.printer })
    }

    /// The servers that are to be found; those that were given where none are.
    pub(crate) async fn endpoints(&mut self, settings: &Settings) -> Result<Vec<String>, Failure> {
        if let Some(discovery) = &settings.discovery {
            let found = discovery.endpoints().await?;
            for endpoint in found.ignored {
                self.err(format!("ignoring discovered insecure endpoint {endpoint:?}"));
            }
            if !found.endpoints.is_empty() {
                return Ok(found.endpoints);
            }
        }
        Ok(settings.endpoints.clone())
    }

    fn environment(&mut self, watch: bool) -> Result<(), Failure> {
        let known = |name: &str| {
            name == "ETCDCTL_API" || (watch && [ENV_WATCH_KEY, ENV_WATCH_RANGE_END].contains(&name))
        };
        let given: Vec<(String, String)> = self
            .io
            .env
            .iter()
            .filter(|(name, value)| name.starts_with("ETCDCTL_") && !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (name, value) in given {
            let Some(flag) = GLOBAL.iter().find(|flag| variable(flag.name) == name) else {
                if !known(&name) {
                    let given = format!("{name}={value}");
                    self.log("warn", "unrecognized environment variable", &given);
                }
                continue;
            };
            if self.flags.changed(flag.name) {
                let message = "conflicting environment variable is shadowed by corresponding \
                               command-line flag (either unset environment variable or disable \
                               flag))";
                self.log("fatal", message, &name);
                return Err(Failure::silent(Exit::ERROR));
            }
            if let Err(reason) = self.flags.set(flag, &value) {
                let message = format!("environment variable ignored: {reason}");
                self.log("warn", &message, &format!("{name}={value}"));
            }
        }
        Ok(())
    }

    /// A line in the form of etcdctl's own log.
    fn log(&mut self, level: &str, message: &str, variable: &str) {
        let quote = |text: &str| format!("\"{}\"", text.escape_debug());
        self.err(format!(
            "{{\"level\":\"{level}\",\"msg\":{},\"environment-variable\":{}}}",
            quote(message),
            quote(variable)
        ));
    }

    fn dump_flags(&mut self) {
        let mut names: Vec<&str> = GLOBAL.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        for name in names {
            let line = format!("{}={}", variable(name), self.flags.shown(name));
            self.err(line);
        }
    }

    /// What the flags say of TLS; `None` when they ask for none. An endpoint of `https` speaks
    /// it all the same.
    fn tls(&self) -> Result<Option<TlsSettings>, Failure> {
        for name in ["cert", "key", "cacert"] {
            if self.flags.changed(name) && self.flags.text(name).is_empty() {
                let message = format!("empty string is passed to --{name} option");
                return Err(Failure::arguments(message));
            }
        }
        let pair = Pair::of(self.flags.text("cert"), self.flags.text("key"))
            .map_err(|error| Failure::arguments(error.to_string()))?;
        let text = |name| Some(self.flags.text(name)).filter(|text| !text.is_empty());
        // Servers that must speak TLS must also have a certificate for the domain.
        let domain = text("discovery-srv").filter(|_| !self.flags.bool("insecure-discovery"));
        let settings = TlsSettings {
            client_pair: pair,
            trusted_ca: text("cacert").map(Into::into),
            skip_verify: self.flags.bool("insecure-skip-tls-verify"),
            server_name: text("tls-server-name").or(domain).map(str::to_owned),
            ..TlsSettings::default()
        };
        let wanted = settings != TlsSettings::default() || !self.flags.bool("insecure-transport");
        Ok(wanted.then_some(settings))
    }

    fn credentials(&mut self) -> Result<Credentials, Failure> {
        let token = self.flags.text("auth-jwt-token");
        if !token.is_empty() {
            return Ok(Credentials::Token(token.to_owned()));
        }
        let user = self.flags.text("user").to_owned();
        if user.is_empty() {
            return Ok(Credentials::None);
        }
        let given = self.flags.text("password").to_owned();
        let (user, password) = match user.split_once(':') {
            _ if !given.is_empty() => (user, given),
            Some((user, password)) => (user.to_owned(), password.to_owned()),
            None => (user, self.ask_password()?),
        };
        // Without a password etcd's client does not authenticate at all.
        Ok(match password.is_empty() {
            true => Credentials::None,
            false => Credentials::Password { user, password },
        })
    }

    fn ask_password(&mut self) -> Result<String, Failure> {
        self.ask_hidden("Password: ")
    }

    /// Asks for a line that the terminal does not show.
    pub(crate) fn ask_hidden(&mut self, prompt: &str) -> Result<String, Failure> {
        self.out(prompt)?;
        echo(false);
        let line = read_line(&mut *self.io.stdin);
        echo(true);
        self.out("\n")?;
        let line = line?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

/// Switches the terminal's echo; does nothing where there is no terminal.
fn echo(on: bool) {
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        let mode = if on { "echo" } else { "-echo" };
        // A terminal that cannot be switched echoes; the command works all the same.
        let _ = Process::new("stty").arg(mode).stderr(Stdio::null()).status();
    }
}

fn variable(flag: &str) -> String {
    format!("ETCDCTL_{}", flag.to_uppercase().replace('-', "_"))
}

fn positive(value: i64) -> Option<usize> {
    usize::try_from(value).ok().filter(|&value| value > 0)
}

impl Settings {
    /// A client of some endpoints, with a token if there is a password.
    pub(crate) async fn client(&self, endpoints: &[String]) -> Result<Client, Failure> {
        let bad = |message: String| Failure::new(Exit::BAD_CONNECTION, message);
        let parsed: Result<Vec<Endpoint>, _> =
            endpoints.iter().map(|endpoint| Endpoint::parse(endpoint)).collect();
        let mut config = self.config.clone();
        config.endpoints = parsed.map_err(|error| bad(error.to_string()))?;
        let authenticates = matches!(config.credentials, Credentials::Password { .. });
        let patience = config.timeouts.call.unwrap_or(Duration::MAX);
        let client = match authenticates {
            false => Client::new(config),
            true => tokio::time::timeout(patience, Client::connect(config))
                .await
                .unwrap_or(Err(drystone_client::Error::Deadline)),
        };
        client.map_err(|error| bad(call_message(&error)))
    }
}
