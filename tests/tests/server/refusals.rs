//! What is refused, and how it looks.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use tests::device::{Device, bare_command, run};
use tests::server::{Server, copy_folder};

const PASSWORD: &str = "refusals of copper wire";

#[test]
fn wrong_password_and_unknown_account_look_the_same() {
    let server = Server::start();
    Device::registered(&server, "alice", PASSWORD);
    let wrong = Device::new(&server, "alice", "wrong")
        .run(&["ls"])
        .expect(4);
    let unknown = Device::new(&server, "nobody", "wrong")
        .run(&["ls"])
        .expect(4);
    assert_eq!(wrong.stderr, unknown.stderr);
    assert_eq!(wrong.stdout, unknown.stdout);
}

#[test]
fn an_account_is_made_once() {
    let server = Server::start();
    Device::registered(&server, "alice", PASSWORD);
    let second = Device::new(&server, "alice", "another strong one of copper wire");
    let file = second.path("recovery");
    let line = format!("register --recovery-file {}", file.display());
    second.run(&[&line]).expect(6);
    assert!(!file.exists(), "a code for nothing must not stay");
    second.run(&["ls"]).expect(4);
}

#[test]
fn recovery_codes_go_to_a_new_file_of_the_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let file = device.path("recovery");
    let line = format!("register --recovery-file {}", file.display());
    let run = device.run(&[&line]).ok();
    assert!(run.stdout.is_empty());
    let sheet = std::fs::read_to_string(&file).unwrap();
    // The code alone on its line, for `recover --code-file`.
    assert_eq!(sheet.lines().next().unwrap().len(), 44);
    assert!(
        sheet.contains("alice") && sheet.contains(&server.url),
        "{sheet}"
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_server_with_another_key_is_not_trusted() {
    let (server, other) = (Server::start(), Server::start());
    let device = Device::at(&server.url, &other.pin, "alice", PASSWORD);
    let run = device.run(&["register"]).expect(5);
    assert!(run.stderr.contains(&server.pin), "{}", run.stderr);
    assert!(run.stderr.contains(&other.pin), "{}", run.stderr);
}

#[test]
fn trust_on_first_use_pins_and_then_holds() {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let options = ["--server", &server.url, "--account", "alice"];
    let attempt = |more: &[&str], line: &str| {
        let mut command = bare_command(&device.home());
        command.args(options).args(more).args(["-c", line]);
        command.arg("--password-file").arg(device.path("password"));
        run(command, b"")
    };
    let unknown = attempt(&[], "register").expect(5);
    assert!(unknown.stderr.contains(&server.pin), "{}", unknown.stderr);
    attempt(&["--trust-on-first-use"], "register").ok();
    attempt(&[], "ls").ok();
    let other = Server::start();
    let moved = ["--server", other.url.as_str()];
    attempt(&moved, "ls").expect(2);
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    server.stop();
    let run = device.run(&["ls"]).expect(5);
    assert!(run.stderr.contains("not reached"), "{}", run.stderr);
}

#[test]
fn a_missing_answer_is_an_error_and_never_a_hang() {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let mut command = device.command_without_password();
    command.args(["-c", "register"]);
    run(command, b"").expect(2);
    let folder = tempfile::tempdir().unwrap();
    run(bare_command(folder.path()), b"").expect(2);
}

#[test]
fn invites_work_once() {
    let server = Server::with(&[("REGISTRATION", "invite")]);
    let device = Device::new(&server, "alice", PASSWORD);
    let run = device.run(&["register"]).expect(1);
    assert!(run.stderr.contains("--invite"), "{}", run.stderr);
    let output = server.command(&["invite"]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let line = format!("register --invite {}", text.trim());
    device.run(&[&line]).ok();
    Device::new(&server, "bob", PASSWORD)
        .run(&[&line])
        .expect(1);
}

#[test]
fn closed_means_closed() {
    let server = Server::with(&[("REGISTRATION", "closed")]);
    let device = Device::new(&server, "alice", PASSWORD);
    device.run(&["register"]).expect(1);
}

#[test]
fn guesses_are_slowed_down_and_shown_to_the_owner() {
    let server = Server::start();
    let owner = Device::registered(&server, "alice", PASSWORD);
    let guesser = Device::new(&server, "alice", "guess");
    let mut tries = 0;
    // On a busy machine the first delays are over before the next guess comes.
    let run = loop {
        let run = guesser.run(&["ls"]);
        if run.status == 8 {
            break run;
        }
        run.expect(4);
        tries += 1;
        assert!(tries < 15, "never throttled");
    };
    assert!(tries >= 5, "throttled after {tries}");
    assert!(run.stderr.contains("wait"), "{}", run.stderr);
    // The owner waits as well, from the same address, but only as long as it says.
    let audit = loop {
        let run = owner.run_with(&["--json"], &["audit --op login"], b"");
        if run.status != 8 {
            break run.ok();
        }
    };
    let refused = audit.json().first().unwrap()["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["outcome"] == "refused")
        .count();
    // With a wrong password KE3 is never sent: only the starts are records.
    assert_eq!(refused, 0);
}

#[test]
fn a_rolled_back_server_is_noticed() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"old");
    server.stop();
    let backup = device.path("backup");
    copy_folder(&server.data(), &backup);
    server.start_again();
    device.run_with(&[], &["put k --force"], b"new").ok();
    server.stop();
    std::fs::remove_dir_all(server.data()).unwrap();
    copy_folder(&backup, &server.data());
    server.start_again();
    let run = device.run(&["get k"]).expect(7);
    assert!(run.stdout.is_empty());
    assert!(run.stderr.contains("rolled back"), "{}", run.stderr);
    let run = device
        .run_with(&["--keep-going"], &["get k", "gen x"], b"")
        .expect(7);
    assert!(!run.stderr.contains("entropy"), "{}", run.stderr);
    // A device that never saw the newer state cannot know.
    assert_eq!(device.another(PASSWORD).get("k"), b"old");
}

#[test]
fn another_server_behind_the_same_address_is_noticed() {
    let mut server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    server.stop();
    let data = ["db", "lock"].map(|name| server.data().join(name));
    for path in data.into_iter().chain([server.key_file()]) {
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
        removed.unwrap();
    }
    server.start_again();
    device.run(&["ls"]).expect(7);
    device.run(&["register"]).expect(6);
}

#[test]
fn tls_1_2_is_refused_and_1_3_is_post_quantum() {
    let server = Server::start();
    let handshake = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tcp = TcpStream::connect(server.address()).unwrap();
        let mut stream = rustls::Stream::new(&mut client, &mut tcp);
        let request = b"GET /v2/hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request)?;
        let mut first = [0; 12];
        stream.read_exact(&mut first)?;
        let group = client.negotiated_key_exchange_group().unwrap().name();
        Ok::<_, std::io::Error>((first, group))
    };
    let refused = handshake(&[&rustls::version::TLS12]).unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
    let (first, group) = handshake(&[&rustls::version::TLS13]).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

/// Believes any certificate: this test is about versions.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A key is trusted at first use, and a server whose certificate was trusted before is not seen for the first time.
#[test]
fn trust_on_first_use_is_for_servers_that_are_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = write("certificate", &made.cert.pem());
    let key = write("key", &made.signing_key.serialize_pem());
    let server = Server::with(&[("TLS_CERT", &certificate), ("TLS_KEY", &key)]);
    let port = server.address().rsplit(':').next().unwrap();
    let (url, home) = (
        format!("https://localhost:{port}"),
        folder.path().join("home"),
    );
    let password = write("password", PASSWORD);
    let shell = |roots: &str, line: &str| {
        let mut command = bare_command(&home);
        command
            .env("SSL_CERT_FILE", roots)
            .env_remove("SSL_CERT_DIR");
        command.args([
            "--server",
            &url,
            "--account",
            "alice",
            "--password-file",
            &password,
        ]);
        command.args(["--trust-on-first-use", "-c", line]);
        run(command, b"")
    };
    shell(&certificate, "register").ok();
    shell(&certificate, "ls").ok();
    // Now nobody vouches for the certificate any more, as for one of a stranger in between.
    let other = rcgen::generate_simple_self_signed(vec!["elsewhere".to_owned()]).unwrap();
    let nobody = write("nobody", &other.cert.pem());
    let refused = shell(&nobody, "ls").expect(5);
    assert!(refused.stderr.contains("was trusted before"), "{refused:?}");
    shell(&certificate, "ls").ok();
}
