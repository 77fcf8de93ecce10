//! The cluster: its level, and what each process that runs speaks. For operators.

use async_graphql::{Context, Object, SimpleObject};
use domain::Permission;

use crate::context::RequestContext;
use crate::error::ApiError;

/// The processes of this installation together.
#[derive(Clone, Debug, SimpleObject)]
pub struct Cluster {
    /// The level that events are written as of.
    pub level: u32,
    /// The processes that run, as far as is known: one that died seconds ago may be among them, and
    /// one that is stopped is not.
    pub processes: Vec<ClusterProcess>,
}

/// A process that runs.
#[derive(Clone, Debug, SimpleObject)]
pub struct ClusterProcess {
    /// The highest level it speaks.
    pub speaks: u32,
    /// Where others reach it; none if it has not said.
    pub address: Option<String>,
}

impl From<commands::Process> for ClusterProcess {
    fn from(process: commands::Process) -> Self {
        Self { speaks: process.speaks.0, address: process.address }
    }
}

/// Reading about the cluster.
#[derive(Debug, Default)]
pub struct ClusterQuery;

#[Object]
impl ClusterQuery {
    /// The level of the cluster, and what its processes speak. For operators.
    async fn cluster(&self, context: &Context<'_>) -> async_graphql::Result<Cluster> {
        let request = context.data::<RequestContext>()?;
        request.principal().authorize(Permission::DirectoryRead).map_err(ApiError::from)?;
        let commands = request.shared().commands();
        let processes = commands.processes().await.map_err(ApiError::from)?;
        let mut processes: Vec<_> = processes.into_iter().map(ClusterProcess::from).collect();
        processes.sort_by(|one, other| one.address.cmp(&other.address));
        Ok(Cluster { level: commands.directory().level().0, processes })
    }
}
