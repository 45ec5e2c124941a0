# A transportation problem solved exactly, and the memory that it and the pairing of options work in.

cdef struct Scratch:
    double tolerance    # of costs: above their rounding
    double* cost
    double* flow
    double* supply
    double* capacity
    double* distance
    double* reward      # of each row, for a unit of it that is shipped
    double* units       # rows of: leg, leg, quantity, loss
    double* put_units
    double* remaining   # of each option of the group
    int* parent
    int* left
    int* right
    int* order          # of each option of the group: which distinct expiry it has
    int* heads          # the first option of each distinct expiry
    int* stack
    bint protecting     # long options may take stock's risk beside the covers; else only what these leave
    bint lost           # a way led back to itself: differences of costs were lost in their rounding
    int expiries


cdef double ship(int rows, int columns, Scratch* s) noexcept nogil:
    """Ship supplies as long as that lowers the sum of costs and rewards; returns the sum.

    Costs and flows are (rows, columns); `reward` of a row is added for each unit of it (negative: it has to be shipped).
    """
    cdef int i, j, node, end, steps, hops, nodes = rows + columns
    cdef double best, amount, total = 0.0, through
    cdef bint changed
    for i in range(rows * columns):
        s.flow[i] = 0.0
    while True:
        for i in range(rows):
            s.distance[i] = s.reward[i] if s.supply[i] > TINY else INFINITY
            s.parent[i] = -1
            s.stack[i] = s.distance[i] < INFINITY  # of a node: its distance changed since it was looked at
        for j in range(rows, nodes):
            s.distance[j] = INFINITY
            s.parent[j] = -1
            s.stack[j] = 0
        changed = True
        steps = 0
        while changed and steps <= nodes:
            changed = False
            steps += 1
            for i in range(rows):
                if not s.stack[i]:
                    continue
                s.stack[i] = 0
                for j in range(columns):
                    through = s.distance[i] + s.cost[i * columns + j]
                    if through < s.distance[rows + j] - s.tolerance:
                        s.distance[rows + j] = through
                        s.parent[rows + j] = i
                        s.stack[rows + j] = 1
            for j in range(columns):
                if not s.stack[rows + j]:
                    continue
                s.stack[rows + j] = 0
                for i in range(rows):
                    if s.flow[i * columns + j] > TINY:
                        through = s.distance[rows + j] - s.cost[i * columns + j]
                        if through < s.distance[i] - s.tolerance:
                            s.distance[i] = through
                            s.parent[i] = rows + j
                            s.stack[i] = 1
                            changed = True
        best = INFINITY
        for j in range(columns):
            if s.capacity[j] > TINY:
                best = fmin(best, s.distance[rows + j])
        if best > -s.tolerance:
            break
        # Every end at that distance, as long as the ways to them have room: each of these is a shortest way.
        for end in range(columns):
            if s.capacity[end] <= TINY or s.distance[rows + end] > best + s.tolerance:
                continue
            amount = s.capacity[end]
            node = rows + end
            hops = 0
            while s.parent[node] >= 0:
                hops += 1
                if hops > nodes:
                    s.lost = True
                    for i in range(rows * columns):
                        s.flow[i] = 0.0
                    return 0.0
                if node < rows:  # reached over a shipment that is taken back
                    amount = fmin(amount, s.flow[node * columns + s.parent[node] - rows])
                node = s.parent[node]
            amount = fmin(amount, s.supply[node])
            if amount <= TINY:
                continue
            s.supply[node] -= amount
            s.capacity[end] -= amount
            node = rows + end
            while s.parent[node] >= 0:
                if node >= rows:
                    s.flow[s.parent[node] * columns + node - rows] += amount
                else:
                    s.flow[node * columns + s.parent[node] - rows] -= amount
                node = s.parent[node]
            total += amount * s.distance[rows + end]
    while uncycle(rows, columns, s):
        pass
    return total


cdef bint uncycle(int rows, int columns, Scratch* s) noexcept nogil:
    """Send flow around one cycle of shipments until one of them is none; its cost is 0, as the flow is optimal.

    What is left without cycles is fewer shipments than there are rows and columns, for which there is room.
    """
    cdef int nodes = rows + columns, root, node, other, u, v, top = 0
    cdef double amount = INFINITY
    cdef int* stack = s.stack
    for node in range(nodes):
        s.parent[node] = -2
    for root in range(nodes):
        if s.parent[root] != -2:
            continue
        s.parent[root] = -1
        s.distance[root] = 0.0
        stack[0] = root
        top = 1
        while top:
            top -= 1
            node = stack[top]
            for other in range(0 if node >= rows else rows, rows if node >= rows else nodes):
                if arc(s, rows, columns, node, other)[0] <= TINY or other == s.parent[node]:
                    continue
                if s.parent[other] == -2:
                    s.parent[other] = node
                    s.distance[other] = s.distance[node] + 1.0
                    stack[top] = other
                    top += 1
                    continue
                # A cycle: the arc between the two, and the ways up to where they meet. Arcs alternate in sign.
                amount = shift(s, rows, columns, node, other, -1.0)
                shift(s, rows, columns, node, other, amount)
                return True
    return False


cdef inline double* arc(Scratch* s, int rows, int columns, int a, int b) noexcept nogil:
    return &s.flow[a * columns + b - rows] if a < rows else &s.flow[b * columns + a - rows]


cdef double shift(Scratch* s, int rows, int columns, int u, int v, double amount) noexcept nogil:
    """Below 0: the most that the arcs to be lessened allow. Else: lessen and add, in turns around the cycle."""
    cdef double least = INFINITY
    cdef double* found
    cdef int below
    cdef double sign
    # Walking from u up and from v up: an arc whose lower end is a row has one sign, else the other, on both sides
    # opposite; the closing arc is added to.
    if amount >= 0:
        arc(s, rows, columns, u, v)[0] += amount
    sign = -1.0
    below = u
    cdef double sign_v = -1.0
    cdef int above = v
    while below != above:
        if s.distance[below] >= s.distance[above]:
            found = arc(s, rows, columns, below, s.parent[below])
            if amount >= 0:
                found[0] += sign * amount
            elif sign < 0:
                least = fmin(least, found[0])
            sign = -sign
            below = s.parent[below]
        else:
            found = arc(s, rows, columns, above, s.parent[above])
            if amount >= 0:
                found[0] += sign_v * amount
            elif sign_v < 0:
                least = fmin(least, found[0])
            sign_v = -sign_v
            above = s.parent[above]
    return least
