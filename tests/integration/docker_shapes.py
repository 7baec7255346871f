"""The JSON of docker's inspect, info and version: the members that docker 28.2
always has, with their empty values, and those that it leaves out when they are
empty. null: something that can be null; [x], {"*": x}: lists and maps of x."""

HEALTH = {"Status": "", "FailingStreak": 0,
          "Log": [{"Start": "", "End": "", "ExitCode": 0, "Output": ""}]}

ENDPOINT = {
    "IPAMConfig": None, "Links": None, "Aliases": None, "MacAddress": "",
    "DriverOpts": None, "GwPriority": 0, "NetworkID": "", "EndpointID": "",
    "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
    "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": None}

CONFIG = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False,
    "AttachStdout": False, "AttachStderr": False, "Tty": False,
    "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None,
    "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None,
    "OnBuild": None, "Labels": None}

HOST_CONFIG = {
    "Binds": None, "ContainerIDFile": "",
    "LogConfig": {"Type": "", "Config": None}, "NetworkMode": "",
    "PortBindings": None,
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}, "AutoRemove": False,
    "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [0],
    "CapAdd": None, "CapDrop": None, "CgroupnsMode": "", "Dns": None,
    "DnsOptions": None, "DnsSearch": None, "ExtraHosts": None,
    "GroupAdd": None, "IpcMode": "", "Cgroup": "", "Links": None,
    "OomScoreAdj": 0, "PidMode": "", "Privileged": False,
    "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None,
    "UTSMode": "", "UsernsMode": "", "ShmSize": 0, "Isolation": "",
    "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
    "BlkioWeight": 0, "BlkioWeightDevice": None, "BlkioDeviceReadBps": None,
    "BlkioDeviceWriteBps": None, "BlkioDeviceReadIOps": None,
    "BlkioDeviceWriteIOps": None, "CpuPeriod": 0, "CpuQuota": 0,
    "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "",
    "CpusetMems": "", "Devices": None, "DeviceCgroupRules": None,
    "DeviceRequests": None, "MemoryReservation": 0, "MemorySwap": 0,
    "MemorySwappiness": None, "OomKillDisable": None, "PidsLimit": None,
    "Ulimits": None, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0, "MaskedPaths": None, "ReadonlyPaths": None}

CONTAINER = {
    "Id": "", "Created": "", "Path": "", "Args": [""],
    "State": {
        "Status": "", "Running": False, "Paused": False, "Restarting": False,
        "OOMKilled": False, "Dead": False, "Pid": 0, "ExitCode": 0,
        "Error": "", "StartedAt": "", "FinishedAt": ""},
    "Image": "", "ResolvConfPath": "", "HostnamePath": "", "HostsPath": "",
    "LogPath": "", "Name": "", "RestartCount": 0, "Driver": "",
    "Platform": "", "MountLabel": "", "ProcessLabel": "",
    "AppArmorProfile": "", "ExecIDs": None, "HostConfig": HOST_CONFIG,
    "GraphDriver": {"Data": {"*": ""}, "Name": ""},
    "Mounts": [{"Type": "", "Source": "", "Destination": "", "Mode": "",
                "RW": False, "Propagation": ""}],
    "Config": CONFIG,
    "NetworkSettings": {
        "Bridge": "", "SandboxID": "", "SandboxKey": "",
        "Ports": {"*": [{"HostIp": "", "HostPort": ""}]}, "HairpinMode": False,
        "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None, "SecondaryIPv6Addresses": None,
        "EndpointID": "", "Gateway": "", "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0, "IPAddress": "", "IPPrefixLen": 0,
        "IPv6Gateway": "", "MacAddress": "", "Networks": {"*": ENDPOINT}}}

IMAGE = {
    "Id": "", "RepoTags": [""], "RepoDigests": [""], "Parent": "",
    "Comment": "", "DockerVersion": "", "Author": "", "Config": {},
    "Architecture": "", "Os": "", "Size": 0,
    "GraphDriver": {"Data": {"*": ""}, "Name": ""},
    "RootFS": {"Type": "", "Layers": [""]}, "Metadata": {"LastTagTime": ""}}

VOLUME = {"CreatedAt": "", "Driver": "", "Labels": None, "Mountpoint": "",
          "Name": "", "Options": None, "Scope": ""}

NETWORK = {
    "Name": "", "Id": "", "Created": "", "Scope": "", "Driver": "",
    "EnableIPv4": False, "EnableIPv6": False,
    "IPAM": {"Driver": "", "Options": None, "Config": [{"Subnet": ""}]},
    "Internal": False, "Attachable": False, "Ingress": False,
    "ConfigFrom": {"Network": ""}, "ConfigOnly": False,
    "Containers": {"*": {"Name": "", "EndpointID": "", "MacAddress": "",
                         "IPv4Address": "", "IPv6Address": ""}},
    "Options": None, "Labels": None}

CLIENT = {"Version": "", "DefaultAPIVersion": "", "GitCommit": "",
          "GoVersion": "", "Os": "", "Arch": "", "BuildTime": "",
          "Context": ""}

INFO = {
    "ID": "", "Containers": 0, "ContainersRunning": 0, "ContainersPaused": 0,
    "ContainersStopped": 0, "Images": 0, "Driver": "", "DriverStatus": [[""]],
    "Plugins": {"Volume": [""], "Network": [""], "Authorization": None,
                "Log": [""]},
    "MemoryLimit": False, "SwapLimit": False, "CpuCfsPeriod": False,
    "CpuCfsQuota": False, "CPUShares": False, "CPUSet": False,
    "PidsLimit": False, "IPv4Forwarding": False, "Debug": False, "NFd": 0,
    "OomKillDisable": False, "NGoroutines": 0, "SystemTime": "",
    "LoggingDriver": "", "CgroupDriver": "", "CgroupVersion": "",
    "NEventsListener": 0, "KernelVersion": "", "OperatingSystem": "",
    "OSVersion": "", "OSType": "", "Architecture": "",
    "IndexServerAddress": "",
    "RegistryConfig": {
        "IndexConfigs": {"*": {"Mirrors": None, "Name": "", "Official": False,
                               "Secure": False}},
        "InsecureRegistryCIDRs": None, "Mirrors": None},
    "NCPU": 0, "MemTotal": 0, "GenericResources": None, "DockerRootDir": "",
    "HttpProxy": "", "HttpsProxy": "", "NoProxy": "", "Name": "",
    "Labels": None, "ExperimentalBuild": False, "ServerVersion": "",
    "Runtimes": {"*": {}}, "DefaultRuntime": "",
    "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "",
              "ControlAvailable": False, "Error": "", "RemoteManagers": None},
    "LiveRestoreEnabled": False, "Isolation": "", "InitBinary": "",
    "ContainerdCommit": {"ID": ""}, "RuncCommit": {"ID": ""},
    "InitCommit": {"ID": ""}, "SecurityOptions": None, "CDISpecDirs": None,
    "Warnings": None,
    "ClientInfo": dict(CLIENT, Debug=False, Plugins=[], Warnings=None)}

VERSION = {
    "Client": dict(CLIENT, ApiVersion=""),
    "Server": {
        "Platform": {"Name": ""},
        "Components": [{"Name": "", "Version": "", "Details": {"*": ""}}],
        "Version": "", "ApiVersion": "", "GitCommit": "", "GoVersion": "",
        "Os": "", "Arch": ""}}

# By the path of the object ("" is the whole). What moss adds is below "Moss".
LEFT_OUT = {
    "container": {
        "": {"SizeRw", "SizeRootFs", "ImageManifestDescriptor"},
        "State": {"Health"},
        "Config": {"ExposedPorts", "Healthcheck", "ArgsEscaped",
                   "NetworkDisabled", "MacAddress", "StopSignal",
                   "StopTimeout", "Shell"},
        "HostConfig": {"Annotations", "Mounts", "Tmpfs", "Sysctls",
                       "StorageOpt", "Runtime", "Init", "KernelMemory",
                       "KernelMemoryTCP", "Moss"},
        "Mounts": {"Name", "Driver"},
    },
    "image": {
        "": {"Created", "Descriptor", "Manifests", "Variant", "OsVersion",
             "VirtualSize", "Container", "ContainerConfig", "Referrers"},
        "Config": set(CONFIG) | {"ExposedPorts", "Healthcheck", "StopSignal",
                                 "ArgsEscaped", "Shell", "StopTimeout"},
        "Metadata": set(), "RootFS": set(),
        # Whatever the registry says.
        "Descriptor": None, "Referrers": None, "Manifests": None,
    },
    "volume": {"": {"Status", "UsageData", "ClusterVolume"}},
    "network": {
        "": {"Peers", "Services"},
        "IPAM.Config": {"Gateway", "IPRange", "AuxiliaryAddresses"},
    },
    "info": {
        "": {"Moss", "SystemStatus", "ProductLicense", "DefaultAddressPools",
             "FirewallBackend", "Containerd", "DiscoveredDevices"},
        "Runtimes": {"path", "runtimeArgs", "status"},
    },
    "version": {"Server": {"MinAPIVersion", "KernelVersion", "BuildTime",
                           "Experimental"}},
}
