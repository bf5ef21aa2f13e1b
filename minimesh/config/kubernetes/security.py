"""Security settings of pods and containers.

Known by name and type, so that published manifests load; pods here run as the user who started them."""

from __future__ import annotations

from minimesh.config.schema import Message, Req, message


@message
class SecurityContext(Message):
    """Security settings of one container."""

    allow_privilege_escalation: bool | None = None
    app_armor_profile: AppArmorProfile | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str = ""
    read_only_root_filesystem: bool | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    windows_options: WindowsSecurityContextOptions | None = None


@message
class AppArmorProfile(Message):
    """Which AppArmor profile applies."""

    localhost_profile: str = ""
    type: Req[str] = ""


@message
class Capabilities(Message):
    """Linux capabilities to add and drop."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@message
class SELinuxOptions(Message):
    """An SELinux label."""

    level: str = ""
    role: str = ""
    type: str = ""
    user: str = ""


@message
class SeccompProfile(Message):
    """Which seccomp profile applies."""

    localhost_profile: str = ""
    type: Req[str] = ""


@message
class WindowsSecurityContextOptions(Message):
    """Security settings of a Windows container."""

    gmsa_credential_spec: str = ""
    gmsa_credential_spec_name: str = ""
    host_process: bool | None = None
    run_as_user_name: str = ""


@message
class PodSecurityContext(Message):
    """Security settings of a whole pod."""

    app_armor_profile: AppArmorProfile | None = None
    fs_group: int | None = None
    fs_group_change_policy: str = ""
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_change_policy: str = ""
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = ""
    sysctls: tuple[Sysctl, ...] = ()
    windows_options: WindowsSecurityContextOptions | None = None


@message
class Sysctl(Message):
    """A kernel parameter."""

    name: Req[str] = ""
    value: Req[str] = ""
