package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// sources is from how many addresses tabs come. From one to one the kernel looks the longer for a free port the fewer there are, and has 28,000 at most.
const sources = 16

// open begins to connect a socket from the nth source. connected is whether that is done already, as it may be on loopback.
func open(n int, to unix.Sockaddr) (fd int, connected bool, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, false, fmt.Errorf("open a socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + n%sources)}}
	err = errors.Join(
		// The port is chosen when the other end is known, and then may be one that is in use to somewhere else.
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.Bind(fd, from),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		// Closing resets the connection: tens of thousands that linger in TIME_WAIT would be in the next round's way.
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	if err != nil {
		return -1, false, fmt.Errorf("set a socket up: %w", err)
	}
	switch err = unix.Connect(fd, to); {
	case err == nil:
		return fd, true, nil
	case errors.Is(err, unix.EINPROGRESS):
		return fd, false, nil
	}
	return -1, false, fmt.Errorf("connect: %w", err)
}

// loopback returns an address such as 127.0.0.1:7080.
func loopback(addr string) (unix.Sockaddr, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(host).To4()
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s isn't an address of loopback: others' gateways aren't measured", addr)
	}
	return &unix.SockaddrInet4{Addr: [4]byte(ip), Port: int(n)}, nil
}
