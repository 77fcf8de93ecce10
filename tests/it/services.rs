//! The real services can be started, used, broken and started again.
//!
//! Tests of what runs on them are elsewhere; these show that what those stand on holds: that what
//! is down does not answer, and that what is up again has what it had.

mod on_kafka {
    use std::net::SocketAddr;

    use xtask::services::kafka::{Cluster, Plan};

    use crate::harness::{given_kafka, kafka_distribution};

    #[test]
    fn the_kafka_of_this_run_takes_connections() {
        let Some(bootstrap) = given_kafka() else { return };
        for address in bootstrap.split(',') {
            std::net::TcpStream::connect(address).expect("a broker listens");
        }
    }

    #[test]
    fn a_broker_that_is_killed_paused_or_stopped_comes_back() {
        let Some(distribution) = kafka_distribution() else { return };
        let cluster = Plan::new(1).start(&distribution).expect("a cluster starts");
        let broker = cluster.broker(0);
        let address: SocketAddr = cluster.bootstrap().parse().expect("one broker is one address");
        assert_eq!(broker.address(), address);
        assert!(broker.serves());

        let first = broker.process_id();
        broker.kill().expect("it can be killed");
        assert!(!broker.serves() && broker.process_id().is_none());
        broker.restart().expect("it starts again");
        assert!(broker.serves() && broker.process_id() != first);

        broker.pause().expect("it can be paused");
        assert!(!broker.serves());
        let paused = broker.process_id();
        broker.resume().expect("it goes on");
        broker.restart().expect("it serves again");
        assert_eq!(broker.process_id(), paused);

        broker.stop().expect("it can be stopped");
        assert!(!broker.serves());
        check_gone_with_its_files(cluster);
    }

    #[track_caller]
    fn check_gone_with_its_files(cluster: Cluster) {
        let log = cluster.broker(0).log();
        assert!(log.exists());
        cluster.stop();
        assert!(!log.exists());
    }
}

mod on_postgres {
    use sqlx::{Connection, PgConnection, Row};
    use xtask::services::Purpose;
    use xtask::services::postgres::Server;

    use crate::harness::{given_postgres, postgres_binaries};

    #[tokio::test]
    async fn the_postgres_of_this_run_obeys_us() {
        let Some(url) = given_postgres() else { return };
        let mut connection = PgConnection::connect(&url).await.expect("it lets us in");
        let query = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
        let row = sqlx::query(query).fetch_one(&mut connection).await.expect("it answers");
        assert!(row.get::<bool, _>(0), "we may do everything");
    }

    /// A note that has been written down, if the server can be asked.
    async fn note(url: &str) -> Result<i32, sqlx::Error> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query("SELECT number FROM note").fetch_one(&mut connection).await?.try_get(0)
    }

    #[tokio::test]
    async fn a_server_that_is_killed_or_stopped_comes_back_with_what_it_had() {
        let Some(binaries) = postgres_binaries() else { return };
        let server = Server::start(&binaries, Purpose::Tests).expect("a server starts");
        let url = server.url();
        let mut connection = PgConnection::connect(&url).await.expect("it lets us in");
        for statement in ["CREATE TABLE note (number INTEGER)", "INSERT INTO note VALUES (71)"] {
            sqlx::query(statement).execute(&mut connection).await.expect("it obeys");
        }

        server.kill().expect("it can be killed");
        sqlx::query("SELECT 1").execute(&mut connection).await.expect_err("connections end too");
        note(&url).await.expect_err("nobody answers");
        server.restart().expect("it starts again");
        assert_eq!(note(&url).await.expect("it has recovered"), 71);

        server.stop().expect("it can be stopped");
        note(&url).await.expect_err("nobody answers");
        server.restart().expect("it starts again");
        assert_eq!(note(&url).await.expect("it is all there"), 71);
    }

    #[tokio::test]
    async fn nobody_gets_in_without_the_password() {
        let Some(url) = given_postgres() else { return };
        let mut url: url::Url = url.parse().expect("a URL");
        url.set_password(Some("guessed")).expect("it can have a password");
        PgConnection::connect(url.as_str()).await.map(drop).expect_err("it is refused");
    }
}
